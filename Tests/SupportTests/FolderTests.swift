import Foundation
import Support
import TestSupport
import Testing

struct FolderTests {
  @Test func foldersAreDistinguishedFromFiles() throws {
    #expect(isFolder(fixture("mini-sd")))
    #expect(!isFolder(fixture("mini-sd/model_index.json")))
    #expect(!isFolder(fixture("nothing")))
  }

  /// The folder of a bare name is the working directory.
  @Test func foldersAreFlushed() throws {
    try withTemporaryFolder { folder in
      #expect(syncFolder(of: folder + "/out"))
      #expect(syncFolder(of: folder + "/."))
      #expect(syncFolder(of: "out") && syncFolder(of: "/out"))
      #expect(!syncFolder(of: folder + "/nothing/out"))
      try Data("a".utf8).write(to: URL(fileURLWithPath: folder + "/file"))
      #expect(!syncFolder(of: folder + "/file/out"))
    }
  }

  /// Other processes allocate and free blocks at the same time, so only the bounds are certain.
  @Test func freeBytesAreThoseOfTheFileSystem() throws {
    try withTemporaryFolder { folder in
      let attributes = try FileManager.default.attributesOfFileSystem(forPath: folder)
      let size = try #require(attributes[.systemSize] as? Int)
      let free = try #require(freeBytes(forWriting: folder + "/out"))
      #expect(free > 0 && free <= size)
      #expect(freeBytes(forWriting: folder + "/nothing/out") == nil)
      #expect(freeBytes(forWriting: "out") != nil && freeBytes(forWriting: "/out") != nil)
    }
  }
}

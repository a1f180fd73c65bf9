import Foundation
import Support
import TestSupport
import Testing

private func contents(_ folder: String) -> [String] {
  ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
}

private func text(_ path: String) throws -> String {
  String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
}

private func write(_ text: String, to path: String) throws {
  try Data(text.utf8).write(to: URL(fileURLWithPath: path))
}

struct ReplacingFileTests {
  /// The folder of a bare name is the one that the program runs in.
  @Test func foldersAreTakenToTheDisk() throws {
    try withTemporaryFolder { folder in
      #expect(syncFolder(of: folder + "/out"))
      #expect(syncFolder(of: folder + "/."))
      #expect(syncFolder(of: "out") && syncFolder(of: "/out"))
      #expect(!syncFolder(of: folder + "/nothing/out"))
      try write("a", to: folder + "/file")
      #expect(!syncFolder(of: folder + "/file/out"))
    }
  }

  /// What came to the place while the file was made stays.
  @Test func replacesNothingThatCameMeanwhile() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/out"
      let file = try ReplacingFile(path: path, replacing: false)
      try file.write([1, 2, 3])
      try write("other", to: path)
      #expect(throws: FileError(.exists, path)) { try file.commit() }
      #expect(try text(path) == "other")
      #expect(contents(folder) == ["out"])
    }
  }

  @Test func appearsWithAllItsBytesOnCommit() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/out"
      // Pieces below, at and above the buffer's size.
      let pieces = [1, 1 << 20, (1 << 20) + 1, 3, 3 << 20].map { count in
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 13) }
      }
      let file = try ReplacingFile(path: path, replacing: false)
      for piece in pieces { try file.write(piece) }
      #expect(file.offset == pieces.reduce(0) { $0 + $1.count })
      #expect(!FileManager.default.fileExists(atPath: path))
      try file.commit()
      #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: path))) == pieces.flatMap(\.self))
      #expect(contents(folder) == ["out"])
    }
  }

  @Test func withoutCommitNothingIsLeft() throws {
    try withTemporaryFolder { folder in
      do {
        let file = try ReplacingFile(path: folder + "/out", replacing: false)
        try file.write([1, 2, 3])
      }
      #expect(contents(folder) == [])
    }
  }

  @Test func withoutCommitWhatStoodStays() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/out"
      try write("old", to: path)
      do {
        let file = try ReplacingFile(path: path, replacing: true)
        try file.write(ByteSlice([UInt8]("new".utf8)))
        #expect(try text(path) == "old")
      }
      #expect(try text(path) == "old")
      #expect(contents(folder) == ["out"])
    }
  }

  @Test func replacesOnlyWhenItMay() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/out"
      try write("old", to: path)
      #expect(throws: FileError(.exists, path)) { try ReplacingFile(path: path, replacing: false) }
      #expect(
        FileError(.exists, path).description == "\(path) already exists; pass --force to replace it"
      )
      let file = try ReplacingFile(path: path, replacing: true)
      try file.write([UInt8]("new".utf8))
      try file.commit()
      #expect(try text(path) == "new")
      #expect(contents(folder) == ["out"])
    }
  }

  /// Who mapped the old file keeps reading the old bytes.
  @Test func aMappedFileIsNeverChanged() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/out"
      try write("old", to: path)
      let mapped = try ByteSlice.mapping(path)
      let file = try ReplacingFile(path: path, replacing: true)
      try file.write([UInt8]("new bytes".utf8))
      try file.commit()
      #expect(mapped.array == [UInt8]("old".utf8))
    }
  }

  @Test func refusesFoldersDevicesAndPlacesThatAreNot() throws {
    try withTemporaryFolder { folder in
      #expect(throws: FileError(.create, folder, EISDIR)) {
        try ReplacingFile(path: folder, replacing: true)
      }
      #expect(throws: FileError(.create, folder + "/a/b", ENOENT)) {
        try ReplacingFile(path: folder + "/a/b", replacing: false)
      }
      #expect(contents(folder) == [])
    }
    #expect(throws: FileError(.create, "/dev/null", EINVAL)) {
      try ReplacingFile(path: "/dev/null", replacing: true)
    }
    #expect(
      FileError(.create, "/a/b", ENOENT).description
        == "cannot create /a/b: No such file or directory")
  }

  /// A limit on the size of files stands for a full disk; in a process of its own, since it holds
  /// for the whole process.
  @Test func aFaultInWritingLeavesNothing() async {
    await #expect(processExitsWith: .success) {
      signal(SIGXFSZ, SIG_IGN)
      var limit = rlimit(rlim_cur: rlim_t(1 << 20), rlim_max: rlim_t(1 << 20))
      guard setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0 else { exit(2) }
      try withTemporaryFolder { folder in
        let path = folder + "/out"
        let expected = FileError(.write, path, EFBIG)
        for blocks in [1, 3] {
          var found: FileError?
          do throws(FileError) {
            let file = try ReplacingFile(path: path, replacing: false)
            // The first block fails only when it is flushed: at the latest in commit().
            for _ in 0..<blocks { try file.write([UInt8](repeating: 1, count: (1 << 20) - 7)) }
            try file.write([UInt8](repeating: 1, count: 8))
            try file.commit()
          } catch { found = error }
          guard found == expected, contents(folder) == [] else { exit(3) }
        }
      }
    }
  }
}

struct ReplacingFolderTests {
  @Test func appearsWithAllItsFilesOnCommit() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model"
      let model = try ReplacingFolder(path: path + "/", replacing: false)
      for name in ["index", "a/b/deep", "a/other"] {
        let file = try model.file(name)
        #expect(file.path == path + "/" + name)
        try file.write([UInt8](name.utf8))
        try file.commit()
      }
      #expect(!FileManager.default.fileExists(atPath: path))
      try model.commit()
      #expect(contents(folder) == ["model"])
      #expect(contents(path) == ["a", "index"])
      #expect(try text(path + "/a/b/deep") == "a/b/deep")
    }
  }

  @Test func withoutCommitNothingIsLeft() throws {
    try withTemporaryFolder { folder in
      do {
        let model = try ReplacingFolder(path: folder + "/model", replacing: false)
        let file = try model.file("a/b")
        try file.write([1])
        try file.commit()
        let open = try model.file("a/c")
        try open.write([1])
      }
      #expect(contents(folder) == [])
    }
  }

  @Test func replacesOnlyWhenItMay() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model"
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      try write("old", to: path + "/old")
      #expect(throws: FileError(.exists, path)) {
        try ReplacingFolder(path: path, replacing: false)
      }
      let model = try ReplacingFolder(path: path, replacing: true)
      let file = try model.file("new")
      try file.commit()
      #expect(contents(path) == ["old"])
      try model.commit()
      #expect(contents(path) == ["new"])
      #expect(contents(folder) == ["model"])
    }
  }

  @Test func aFileThatWasMadeAlreadyIsRefused() throws {
    try withTemporaryFolder { folder in
      let model = try ReplacingFolder(path: folder + "/model", replacing: false)
      try model.file("a").commit()
      #expect(throws: FileError(.create, folder + "/model/a", EEXIST)) { try model.file("a") }
    }
  }

  @Test func aPlaceThatIsNotIsNamed() throws {
    try withTemporaryFolder { folder in
      #expect(throws: FileError(.create, folder + "/a/model", ENOENT)) {
        try ReplacingFolder(path: folder + "/a/model", replacing: false)
      }
    }
  }
}

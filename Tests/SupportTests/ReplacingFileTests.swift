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
  @Test func keepsAFileThatWasCreatedInTheMeantime() throws {
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

  @Test func commitWritesAllBytes() throws {
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

  @Test func withoutCommitTheExistingFileStays() throws {
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

  @Test func replacesOnlyWhenAllowed() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/out"
      try write("old", to: path)
      #expect(throws: FileError(.exists, path)) { try ReplacingFile(path: path, replacing: false) }
      #expect(FileError(.exists, path).description == "\(path) already exists")
      #expect(FileError(.exists, path).remedy == .choose(.replace, purpose: "to replace it"))
      #expect(FileError(.open, path, ENOENT).remedy == nil)
      let file = try ReplacingFile(path: path, replacing: true)
      try file.write([UInt8]("new".utf8))
      try file.commit()
      #expect(try text(path) == "new")
      #expect(contents(folder) == ["out"])
    }
  }

  /// A mapping of the old file keeps the old bytes.
  @Test func mappedFileDoesNotChange() throws {
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

  @Test func refusesFoldersDevicesAndMissingFolders() throws {
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

  /// A limit on the size of files simulates a full disk. The test runs in a process of its own,
  /// because the limit applies to the whole process.
  @Test func writeErrorLeavesNoFile() async {
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
  @Test func commitWritesAllFiles() throws {
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

  /// With the exchange, and with the fallback for file systems that do not support it.
  @Test(arguments: [true, false])
  func replacesOnlyWhenAllowed(exchanging: Bool) throws {
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
      try model.commit(exchanging: exchanging)
      #expect(contents(path) == ["new"])
      #expect(contents(folder) == ["model"])
    }
  }

  /// A symbolic link at the path is replaced; the folder that it points to stays.
  @Test(arguments: [true, false])
  func replacesALinkButNotItsTarget(exchanging: Bool) throws {
    try withTemporaryFolder { folder in
      let target = folder + "/target"
      try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
      try write("old", to: target + "/old")
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/model", withDestinationPath: target)
      let model = try ReplacingFolder(path: folder + "/model", replacing: true)
      try model.file("new").commit()
      try model.commit(exchanging: exchanging)
      #expect(contents(folder) == ["model", "target"])
      #expect(contents(folder + "/model") == ["new"])
      #expect(contents(target) == ["old"])
    }
  }

  @Test func refusesASecondFileOfTheSameName() throws {
    try withTemporaryFolder { folder in
      let model = try ReplacingFolder(path: folder + "/model", replacing: false)
      try model.file("a").commit()
      #expect(throws: FileError(.create, folder + "/model/a", EEXIST)) { try model.file("a") }
    }
  }

  @Test func errorNamesThePathWithoutAFolder() throws {
    try withTemporaryFolder { folder in
      #expect(throws: FileError(.create, folder + "/a/model", ENOENT)) {
        try ReplacingFolder(path: folder + "/a/model", replacing: false)
      }
    }
  }
}

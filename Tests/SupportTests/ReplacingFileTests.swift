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

private func mode(_ path: String) throws -> Int {
  try #require(FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
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
    #expect(throws: FileError(.isDevice, "/dev/null")) {
      try ReplacingFile(path: "/dev/null", replacing: true)
    }
    #expect(
      FileError(.create, "/a/b", ENOENT).description
        == "cannot create /a/b: No such file or directory")
  }

  /// Pipes and sockets are no outputs either, also behind a link.
  @Test func refusesPipesAndSockets() throws {
    try withTemporaryFolder { folder in
      let (pipe, link) = (folder + "/pipe", folder + "/link")
      #expect(mkfifo(pipe, 0o600) == 0)
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: "pipe")
      for path in [pipe, link] {
        #expect(throws: FileError(.isPipe, path)) { try ReplacingFile(path: path, replacing: true) }
        #expect(throws: FileError(.isPipe, path)) {
          try ReplacingFolder(path: path, replacing: false)
        }
      }
      #expect(contents(folder) == ["link", "pipe"])
      #expect(
        FileError(.isPipe, "p").description == "p is a pipe; outputs are files and folders")
      #expect(FileError(.isSocket, "p").remedy == .renameOutput)
    }
  }

  /// The link stays, and the file that it points to is replaced.
  @Test func writesThroughLinks() throws {
    try withTemporaryFolder { folder in
      let other = folder + "/other"
      try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: true)
      try write("old", to: other + "/file")
      let links = [("near", "other/file"), ("far", folder + "/near")]
      for (name, target) in links {
        try FileManager.default.createSymbolicLink(
          atPath: folder + "/" + name, withDestinationPath: target)
      }
      let path = folder + "/far"
      #expect(throws: FileError(.exists, path)) { try ReplacingFile(path: path, replacing: false) }
      let file = try ReplacingFile(path: path, replacing: true)
      try file.write([UInt8]("new".utf8))
      #expect(contents(folder) == ["far", "near", "other"])
      #expect(contents(other).count == 2)
      try file.commit()
      #expect(try text(other + "/file") == "new")
      #expect(contents(other) == ["file"])
      for (name, target) in links {
        #expect(
          try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/" + name) == target)
      }
    }
  }

  /// A link to a file that does not exist yet creates it. A link to itself has no target.
  @Test func writesThroughDanglingLinks() throws {
    try withTemporaryFolder { folder in
      for (name, target) in [("link", "target"), ("loop", "loop"), ("lost", "none/target")] {
        try FileManager.default.createSymbolicLink(
          atPath: folder + "/" + name, withDestinationPath: target)
      }
      let file = try ReplacingFile(path: folder + "/link", replacing: false)
      try file.write([UInt8]("new".utf8))
      try file.commit()
      #expect(try text(folder + "/target") == "new")
      #expect(contents(folder) == ["link", "loop", "lost", "target"])
      #expect(throws: FileError(.create, folder + "/loop", ELOOP)) {
        try ReplacingFile(path: folder + "/loop", replacing: true)
      }
      #expect(throws: FileError(.create, folder + "/lost", ENOENT)) {
        try ReplacingFile(path: folder + "/lost", replacing: true)
      }
    }
  }

  @Test func keepsPermissionsAndTheOwner() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/out"
      try write("old", to: path)
      #expect(chmod(path, 0o640) == 0)
      // Only the superuser may give files away.
      let owner: UInt32 = getuid() == 0 ? 12345 : getuid()
      #expect(chown(path, owner, getgid()) == 0)
      let file = try ReplacingFile(path: path, replacing: true)
      // Until the commit, nobody else reads the new content.
      let temporary = try #require(contents(folder).first { $0 != "out" })
      #expect(try mode(folder + "/" + temporary) == 0o600)
      try file.commit()
      #expect(try mode(path) == 0o640)
      let found = try FileManager.default.attributesOfItem(atPath: path)[.ownerAccountID]
      #expect((found as? NSNumber)?.uint32Value == owner)
      #expect(try text(path).isEmpty)
    }
  }

  /// The temporary name is not longer than the file system allows.
  @Test(arguments: ["a", "ä"])
  func namesMayHave255Bytes(letter: String) throws {
    try withTemporaryFolder { folder in
      let name = String(repeating: letter, count: 254 / letter.utf8.count) + "x"
      #expect(name.utf8.count == 255)
      for replacing in [false, true] {
        let file = try ReplacingFile(path: folder + "/" + name, replacing: replacing)
        let temporary = try #require(contents(folder).first { $0 != name })
        #expect(temporary.utf8.count <= 255 && temporary.hasSuffix(".partial"))
        try file.commit()
      }
      #expect(contents(folder) == [name])
      #expect(throws: FileError(.create, folder + "/" + name + "x", ENAMETOOLONG)) {
        try ReplacingFile(path: folder + "/" + name + "x", replacing: false)
      }
      let sibling = siblingPath(of: folder + "/" + name, ending: ".partial")
      #expect(PathParts(sibling).name.utf8.count <= 255 && sibling.hasSuffix(letter + ".partial"))
      #expect(siblingPath(of: "a/b", ending: ".partial") == "a/b.partial")
    }
  }

  /// A process that is killed leaves its temporary files. The next run of the same output removes
  /// them, and no others.
  @Test func removesTheFilesOfKilledProcesses() async throws {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("decant-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    await #expect(processExitsWith: .signal(SIGKILL)) { [folder = folder as String] in
      let file = try ReplacingFile(path: folder + "/a", replacing: false)
      let model = try ReplacingFolder(path: folder + "/b", replacing: false)
      let staged = StagedOutputs(replacing: false)
      try staged.write(folder + "/c") { try Data([1]).write(to: URL(fileURLWithPath: $0)) }
      kill(getpid(), SIGKILL)
      _ = (file, model, staged)
    }
    #expect(contents(folder).count == 3)
    try write("other", to: folder + "/.a.decant-0.partial")

    // Those of this process stay.
    let running = try ReplacingFile(path: folder + "/a", replacing: false)
    let others = contents(folder)
    #expect(others.count == 4)
    try ReplacingFile(path: folder + "/a", replacing: false).commit()
    #expect(contents(folder) == (others + ["a"]).sorted())
    try ReplacingFolder(path: folder + "/b", replacing: false).commit()
    let staged = StagedOutputs(replacing: false)
    try staged.write(folder + "/c") { try Data([1]).write(to: URL(fileURLWithPath: $0)) }
    try staged.commit()
    #expect(throws: FileError(.exists, folder + "/a")) { try running.commit() }
    #expect(contents(folder) == [".a.decant-0.partial", "a", "b", "c"])
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

  /// A symbolic link at the path stays, and the folder that it points to is replaced.
  @Test(arguments: [true, false])
  func writesThroughALink(exchanging: Bool) throws {
    try withTemporaryFolder { folder in
      let target = folder + "/target"
      try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
      try write("old", to: target + "/old")
      try FileManager.default.createSymbolicLink(
        atPath: folder + "/model", withDestinationPath: "target")
      let model = try ReplacingFolder(path: folder + "/model/", replacing: true)
      try model.file("new").commit()
      try model.commit(exchanging: exchanging)
      #expect(contents(folder) == ["model", "target"])
      #expect(
        try FileManager.default.destinationOfSymbolicLink(atPath: folder + "/model") == "target")
      #expect(contents(target) == ["new"])
    }
  }

  /// Files and subfolders with the names of old ones get their permissions.
  @Test(arguments: [true, false])
  func keepsPermissions(exchanging: Bool) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model"
      func write(_ replacing: Bool) throws {
        let model = try ReplacingFolder(path: path, replacing: replacing)
        for name in ["a/b", "c"] { try model.file(name).commit() }
        try model.commit(exchanging: exchanging)
      }
      try write(false)
      for (name, mode) in [("", 0o750), ("/a", 0o710), ("/a/b", 0o640), ("/c", 0o600)] {
        #expect(chmod(path + name, mode_t(mode)) == 0)
      }
      try write(true)
      #expect(
        try ["", "/a", "/a/b", "/c"].map { try mode(path + $0) } == [0o750, 0o710, 0o640, 0o600])
    }
  }

  /// A folder that is created in the meantime stays, even if it is empty.
  @Test func keepsAFolderThatWasCreatedInTheMeantime() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model"
      let model = try ReplacingFolder(path: path, replacing: false)
      try model.file("new").commit()
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      #expect(throws: FileError(.exists, path)) { try model.commit() }
      #expect(contents(path) == [])
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

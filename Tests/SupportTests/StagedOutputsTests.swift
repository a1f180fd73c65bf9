import Foundation
import Support
import TestSupport
import Testing

private func contents(_ folder: String) -> [String] {
  ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
}

private func text(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

private func write(_ text: String, to path: String) throws {
  try text.write(toFile: path, atomically: false, encoding: .utf8)
}

@Suite struct StagedOutputsTests {
  @Test func outputsAppearTogether() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(
        atPath: folder + "/sub", withIntermediateDirectories: true)
      let staged = StagedOutputs(replacing: false)
      let paths = ["/a", "/b", "/sub/c"].map { folder + $0 }
      for path in paths {
        let place = try staged.write(path) { try write(path, to: $0) }
        #expect(PathParts(place).name == PathParts(path).name)
        #expect(text(place) == path && text(path) == nil)
      }
      try staged.write(folder + "/model/") { place in
        try FileManager.default.createDirectory(
          atPath: place + "/deep", withIntermediateDirectories: true)
      }
      try staged.commit()
      for path in paths { #expect(text(path) == path) }
      #expect(contents(folder) == ["a", "b", "model", "sub"])
      #expect(contents(folder + "/sub") == ["c"] && contents(folder + "/model") == ["deep"])
    }
  }

  @Test func withoutCommitNothingIsLeft() throws {
    try withTemporaryFolder { folder in
      try write("old", to: folder + "/a")
      do {
        let staged = StagedOutputs(replacing: true)
        for name in ["a", "b"] {
          try staged.write(folder + "/" + name) { try write("new", to: $0) }
        }
        #expect(contents(folder).count == 2)
      }
      #expect(contents(folder) == ["a"] && text(folder + "/a") == "old")
    }
  }

  /// An output that appears in the meantime stays, and then no other one appears.
  @Test func oneThatCannotBePlacedTakesBackTheOthers() throws {
    try withTemporaryFolder { folder in
      let staged = StagedOutputs(replacing: false)
      for name in ["a", "b", "c"] {
        try staged.write(folder + "/" + name) { try write("new", to: $0) }
      }
      try write("other", to: folder + "/b")
      #expect(throws: FileError(.exists, folder + "/b")) { try staged.commit() }
      #expect(contents(folder).filter { !$0.hasPrefix(".") } == ["b"])
      #expect(text(folder + "/b") == "other")
    }
  }

  @Test func whatWasReplacedComesBack() throws {
    try withTemporaryFolder { folder in
      do {
        let staged = StagedOutputs(replacing: true)
        for name in ["a", "model"] {
          try FileManager.default.createDirectory(
            atPath: folder + "/model", withIntermediateDirectories: true)
          try write("old", to: folder + "/" + (name == "a" ? "a" : "model/old"))
        }
        try staged.write(folder + "/a") { try write("new", to: $0) }
        try staged.write(folder + "/model") { place in
          try FileManager.default.createDirectory(
            atPath: place, withIntermediateDirectories: true)
        }
        // This one has nothing to rename.
        try staged.write(folder + "/c") { _ in }
        #expect(throws: FileError(.rename, folder + "/c", ENOENT)) { try staged.commit() }
      }
      #expect(contents(folder) == ["a", "model"])
      #expect(text(folder + "/a") == "old" && contents(folder + "/model") == ["old"])
    }
  }

  /// Links with the same name in different folders may point into one folder.
  @Test func linksAreWrittenThrough() throws {
    try withTemporaryFolder { folder in
      for name in ["x", "y", "files"] {
        try FileManager.default.createDirectory(
          atPath: folder + "/" + name, withIntermediateDirectories: true)
      }
      for name in ["x", "y"] {
        try write("old", to: folder + "/files/" + name)
        try FileManager.default.createSymbolicLink(
          atPath: folder + "/\(name)/a", withDestinationPath: "../files/" + name)
      }
      let staged = StagedOutputs(replacing: true)
      for name in ["x", "y"] {
        try staged.write(folder + "/\(name)/a") { try write(name, to: $0) }
      }
      try staged.commit()
      #expect(contents(folder + "/files") == ["x", "y"])
      for name in ["x", "y"] {
        #expect(contents(folder + "/" + name) == ["a"])
        #expect(text(folder + "/files/" + name) == name)
      }
    }
  }

  /// Messages name the output, not its temporary place.
  @Test func errorsNameTheOutput() throws {
    try withTemporaryFolder { folder in
      let staged = StagedOutputs(replacing: false)
      #expect(throws: FileError(.write, folder + "/a", ENOSPC)) {
        try staged.write(folder + "/a") { throw FileError(.write, $0, ENOSPC) }
      }
      #expect(throws: FileError(.write, folder + "/b/unet/config.json", ENOSPC)) {
        try staged.write(folder + "/b") {
          throw FileError(.write, $0 + "/unet/config.json", ENOSPC)
        }
      }
      try write("old", to: folder + "/c")
      #expect(throws: FileError(.exists, folder + "/c")) {
        try staged.write(folder + "/c") { _ in }
      }
      #expect(throws: FileError(.isDevice, "/dev/null")) { try staged.write("/dev/null") { _ in } }
    }
  }
}

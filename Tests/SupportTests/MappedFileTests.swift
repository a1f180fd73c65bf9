import Foundation
import Support
import TestSupport
import Testing

/// Files that change while they are mapped.
struct MappedFileTests {
  private static let count = 1 << 20

  /// A file of ones.
  private func makeFile(_ folder: String) throws -> String {
    let path = folder + "/in"
    try Data(repeating: 1, count: Self.count).write(to: URL(fileURLWithPath: path))
    return path
  }

  private func sum(_ slice: ByteSlice) -> Int {
    slice.withUnsafeBytes { $0.reduce(0) { $0 + Int($1) } }
  }

  private func shorten(_ path: String, to count: Int) { #expect(truncate(path, count) == 0) }

  private func description(of body: () async throws -> Void) async -> String {
    do {
      try await body()
      return "no error"
    } catch {
      return "\(error)"
    }
  }

  /// Bytes that the file lost read as zeros on every thread; without that, reading them ends the
  /// process.
  @Test func lostBytesAreZeros() throws {
    try withTemporaryFolder { folder in
      let path = try makeFile(folder)
      let slice = try ByteSlice.mapping(path)
      let other = try ByteSlice.mapping(path)
      #expect(sum(slice) == Self.count)
      try slice.checkUnchanged()
      shorten(path, to: 5000)
      withThreads(4) {
        // The rest of the last page of a file reads as zeros.
        parallel(8) { _ in #expect(sum(slice) == 5000) }
      }
      #expect(sum(other[4096..<Self.count]) == 904)
      #expect(throws: FileError.shortened(path, bytes: 5000, opened: Self.count)) {
        try slice.checkUnchanged()
      }
      #expect(
        FileError.shortened("f", bytes: 5000, opened: 9000).description
          == "f: the file became shorter while it was read: 5000 bytes, was 9000")
      #expect(
        FileError(.changed, "f").description == "f: the file was changed while it was read")
      #expect(
        FileError(.changed, "f").remedy == .act("try again when no other program writes to it"))
    }
  }

  /// The error explains what the changed bytes led to.
  @Test func theErrorReplacesOthers() async throws {
    struct Damaged: Error {}
    let folder = NSTemporaryDirectory() + "decant-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = try makeFile(folder)
    let shortened = "\(path): the file became shorter while it was read: 7 bytes, was \(Self.count)"
    let files = MappedFiles()
    let first = await description {
      try await files.recording {
        let slice = try ByteSlice.mapping(path)
        shorten(path, to: 7)
        if sum(slice) != Self.count { throw Damaged() }
      }
    }
    #expect(first == shortened)
    // The mapping is gone, and its error was thrown once.
    try files.check()
    let later = await description { try await files.recording { throw Damaged() } }
    #expect(later.contains("Damaged"))

    // A cancelled job stays a cancelled job.
    try Data(repeating: 1, count: Self.count).write(to: URL(fileURLWithPath: path))
    let cancelled = await description {
      try await MappedFiles().recording {
        let slice = try ByteSlice.mapping(path)
        shorten(path, to: 7)
        if sum(slice) != Self.count { throw CancellationError() }
      }
    }
    #expect(cancelled.contains("CancellationError"))
  }

  /// No output is put in its place. Its bytes come from the mapped file itself, which a system call
  /// cannot read any more.
  @Test func outputsAreNotCommitted() async throws {
    let folder = NSTemporaryDirectory() + "decant-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = try makeFile(folder)
    let files = MappedFiles()
    let shortened =
      "\(path): the file became shorter while it was read: 100 bytes, was \(Self.count)"
    let written = await description {
      try await files.recording {
        let slice = try ByteSlice.mapping(path)
        shorten(path, to: 100)
        let output = try ReplacingFile(path: folder + "/out", replacing: false)
        // With a byte before it, the slice exceeds the buffer, so a system call reads the file.
        try output.write([1])
        try output.write(slice)
        #expect(output.offset == 1 + Self.count)
        #expect(throws: FileError.shortened(path, bytes: 100, opened: Self.count)) {
          try output.commit()
        }
        let whole = try ReplacingFolder(path: folder + "/folder", replacing: false)
        #expect(throws: FileError.shortened(path, bytes: 100, opened: Self.count)) {
          try whole.commit()
        }
      }
    }
    #expect(written == shortened)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["in"])
  }

  /// A file that another program writes to, of the same length. A new file under its name is another
  /// file, and the old one stays as it was.
  @Test func changesAreFound() async throws {
    let folder = NSTemporaryDirectory() + "decant-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = try makeFile(folder)
    let changed = await description {
      try await MappedFiles().recording {
        let slice = try ByteSlice.mapping(path)
        // The clock of a file system may have steps of some milliseconds.
        try await Task.sleep(for: .milliseconds(30))
        let file = try #require(FileHandle(forWritingAtPath: path))
        try file.write(contentsOf: Data([2]))
        try file.close()
        // A file that is not mapped any more may change.
        withExtendedLifetime(slice) {}
      }
    }
    #expect(changed == "\(path): the file was changed while it was read")
    let replaced = await description {
      try await MappedFiles().recording {
        let slice = try ByteSlice.mapping(path)
        let before = sum(slice)
        try Data([2]).write(to: URL(fileURLWithPath: path), options: .atomic)
        #expect(sum(slice) == before)
      }
    }
    #expect(replaced == "no error")
  }
}

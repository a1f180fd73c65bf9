import Foundation
import Support
import TestSupport
import Testing

struct ByteSliceTests {
  @Test func sliceOfSliceCountsFromItsFirstByte() {
    let slice = ByteSlice([0, 1, 2, 3, 4, 5, 6, 7] as [UInt8])
    let inner = slice[2..<7][1..<3]
    #expect(inner.array == [3, 4])
    #expect(inner.count == 2)
    #expect(inner.alignmentOffset == 3)
    #expect(inner.bytes.byteCount == 2)
    #expect(slice[8..<8].array == [])
  }

  @Test func rangesBeyondTheSliceTrap() async {
    await #expect(processExitsWith: .failure) { _ = ByteSlice([1, 2] as [UInt8])[1..<3] }
    await #expect(processExitsWith: .failure) { _ = ByteSlice([1, 2] as [UInt8])[-1..<1] }
  }

  @Test func numbersAreStoredLittleEndian() {
    #expect(ByteSlice([1, -2] as [Float]).array == [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0])
    #expect(ByteSlice([0x1234] as [UInt16]).array == [0x34, 0x12])
    #expect(ByteSlice([-1] as [Int8]).array == [0xff])
  }

  @Test func piecesAreGathered() {
    let slice = ByteSlice(gathering: 5) { append in
      append([1, 2])
      append([])
      append([3, 4, 5])
    }
    #expect(slice.array == [1, 2, 3, 4, 5])
    #expect(ByteSlice([1, 1 << 63] as [UInt64]).words == [1, 1 << 63])
  }

  @Test func tooFewOrTooManyPiecesTrap() async {
    await #expect(processExitsWith: .failure) { _ = ByteSlice(gathering: 5) { $0([1]) } }
    await #expect(processExitsWith: .failure) { _ = ByteSlice(gathering: 1) { $0([1, 2]) } }
  }

  @Test func mappedFileHasTheFilesBytes() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/file"
      let bytes = (0..<10_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      let mapped = try ByteSlice.mapping(path)
      #expect(mapped.array == bytes)
      #expect(mapped[9_000..<9_010].array == Array(bytes[9_000..<9_010]))
    }
  }

  @Test func emptyFileIsMappedAsNoBytes() throws {
    try withTemporaryFolder { folder in
      try Data().write(to: URL(fileURLWithPath: folder + "/empty"))
      #expect(try ByteSlice.mapping(folder + "/empty").array == [])
    }
  }

  /// A window releases its pages. A later access to the same or to a neighbouring window reads them
  /// again.
  @Test func windowsHaveTheSameBytesAsSlices() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/file"
      let bytes = (0..<50_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      let file = try ByteSlice.mapping(path)
      for _ in 0..<2 {
        for range in [0..<1, 0..<50_000, 4_095..<4_097, 20_000..<45_001, 10..<10] {
          let window = file.window(range)
          #expect(window.array == Array(bytes[range]))
          #expect(window.alignmentOffset == range.lowerBound)
          #expect(window[0..<window.count / 2].array == Array(bytes[range].prefix(range.count / 2)))
        }
      }
      #expect(file[100..<200].window(10..<20).array == Array(bytes[110..<120]))
      #expect(file.array == bytes)
    }
    #expect(ByteSlice([1, 2, 3] as [UInt8]).window(1..<3).array == [2, 3])
  }

  /// The resident memory of the process in bytes, from `/proc`.
  private func residentBytes() throws -> Int {
    let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
    let pages = try #require(text.split(separator: " ").dropFirst(2).first.flatMap { Int($0) })
    return pages * 4096
  }

  @Test(.enabled(if: FileManager.default.fileExists(atPath: "/proc/self/statm")))
  func readingWindowsReleasesMemory() throws {
    try withTemporaryFolder { folder in
      let size = 64 << 20
      let path = folder + "/large"
      let file = try ReplacingFile(path: path, replacing: false)
      let block = [UInt8](repeating: 3, count: 1 << 20)
      for _ in 0..<size >> 20 { try file.write(block) }
      try file.commit()
      let mapped = try ByteSlice.mapping(path)
      func walk(_ visit: (Range<Int>) -> ByteSlice) -> Int {
        stride(from: 0, to: size, by: 1 << 20).reduce(0) { sum, start in
          sum
            + visit(start..<start + 1 << 20).withUnsafeBytes { raw in
              stride(from: 0, to: raw.count, by: 4096).reduce(0) { $0 + Int(raw[$1]) }
            }
        }
      }
      let before = try residentBytes()
      #expect(walk { mapped.window($0) } == 3 * size / 4096)
      // Tests that run in parallel map files too. A quarter is a margin for their pages.
      #expect(try residentBytes() - before < size / 4)
    }
  }

  @Test func mappingErrorsNameThePath() throws {
    try withTemporaryFolder { folder in
      #expect(throws: FileError(.open, folder + "/absent", ENOENT)) {
        try ByteSlice.mapping(folder + "/absent")
      }
      #expect(throws: FileError(.open, folder, EISDIR)) { try ByteSlice.mapping(folder) }
      let error = FileError(.open, folder + "/absent", ENOENT)
      #expect(error.description == "cannot open \(folder)/absent: No such file or directory")
    }
    #expect(throws: FileError(.open, "/dev/null", EINVAL)) { try ByteSlice.mapping("/dev/null") }
  }

  /// Opening a pipe without a writer fails at once instead of blocking.
  @Test(.timeLimit(.minutes(5))) func pipeIsRefused() throws {
    try withTemporaryFolder { folder in
      #expect(mkfifo(folder + "/pipe", 0o600) == 0)
      #expect(throws: FileError(.open, folder + "/pipe", EINVAL)) {
        try ByteSlice.mapping(folder + "/pipe")
      }
    }
  }
}

import Checkpoints
import Foundation
import ModelSources
import Support
import TestSupport
import Testing

/// The bytes of a GGUF file that Decant writes, read without Decant's reader: llama.cpp and the
/// programs built on it take every tensor's place from the header and check no gaps.
@Suite struct GGUFWriterTests {
  /// A plain reader of GGUF 3's header (ggml's `docs/gguf.md`).
  private struct Header {
    var position = 0
    let bytes: [UInt8]

    mutating func number(_ width: Int) -> Int {
      defer { position += width }
      return bytes[position..<position + width].reversed().reduce(0) { $0 << 8 | Int($1) }
    }

    mutating func string() -> String {
      let count = number(8)
      defer { position += count }
      return String(decoding: bytes[position..<position + count], as: UTF8.self)
    }

    mutating func skipValue(_ type: Int) {
      switch type {
      case 0, 1, 7: position += 1
      case 2, 3: position += 2
      case 4, 5, 6: position += 4
      case 8: _ = string()
      case 9:
        let element = number(4)
        for _ in 0..<number(8) { skipValue(element) }
      default: position += 8
      }
    }
  }

  /// Bytes of a block and numbers in it, by ggml's number of the type.
  private static let blocks = [
    0: (4, 1), 1: (2, 1), 2: (18, 32), 8: (34, 32), 30: (2, 1),
  ]

  @Test(arguments: ["sdcpp", "comfyui", "diffusers"])
  func everyTensorFollowsTheOneBeforeIt(program: String) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.gguf"
      let model = try Readers.all.read(fixture("mini-sd"))
      try GGUFWriter().write(model, to: path, options: WriteOptions(program: program))
      var header = Header(bytes: try ByteSlice.mapping(path).array)
      #expect(header.bytes.prefix(4).elementsEqual("GGUF".utf8))
      header.position = 4
      #expect(header.number(4) == 3)
      let (tensors, values) = (header.number(8), header.number(8))
      for _ in 0..<values {
        _ = header.string()
        header.skipValue(header.number(4))
      }
      func padded(_ count: Int) -> Int { (count + 31) / 32 * 32 }
      var expected = 0
      for _ in 0..<tensors {
        let name = header.string()
        var count = 1
        for _ in 0..<header.number(4) { count *= header.number(8) }
        let (bytes, numbers) = try #require(Self.blocks[header.number(4)], "\(name)")
        #expect(header.number(8) == expected, "\(name)")
        expected += padded(count / numbers * bytes)
      }
      #expect(tensors > 100)
      #expect(header.bytes.count == padded(header.position) + expected)
    }
  }
}

import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
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

    /// The next value, where it is an unsigned integer of 32 bits.
    mutating func value(_ type: Int) -> Int? {
      switch type {
      case 0, 1, 7: position += 1
      case 2, 3: position += 2
      case 4: return number(4)
      case 5, 6: position += 4
      case 8: _ = string()
      case 9:
        let element = number(4)
        for _ in 0..<number(8) { _ = value(element) }
      default: position += 8
      }
      return nil
    }
  }

  /// Bytes of a block and numbers in it, by ggml's number of the type.
  private static let blocks = [
    0: (4, 1), 1: (2, 1), 2: (18, 32), 6: (22, 32), 8: (34, 32), 12: (144, 256), 13: (176, 256),
    14: (210, 256), 30: (2, 1),
  ]

  /// A tensor as the header describes it, with extents in ggml's order.
  private struct Item {
    let name: String
    let extents: [Int]
    let type: Int
    let offset: Int
  }

  private static func padded(_ count: Int) -> Int { (count + 31) / 32 * 32 }

  /// A file with what its header states.
  private struct File {
    let bytes: [UInt8]
    /// The unsigned integers of the metadata.
    let integers: [String: Int]
    let items: [Item]
    /// The byte at which the tensors' data begins.
    let start: Int
  }

  private func read(_ path: String) throws -> File {
    var header = Header(bytes: try ByteSlice.mapping(path).array)
    #expect(header.bytes.prefix(4).elementsEqual("GGUF".utf8))
    header.position = 4
    #expect(header.number(4) == 3)
    let (tensors, values) = (header.number(8), header.number(8))
    var integers: [String: Int] = [:]
    for _ in 0..<values {
      let key = header.string()
      #expect(key != "general.alignment", "the alignment is the default, 32")
      integers[key] = header.value(header.number(4))
    }
    let items = (0..<tensors).map { _ in
      let name = header.string()
      let rank = header.number(4)
      let extents = (0..<rank).map { _ in header.number(8) }
      let type = header.number(4)
      return Item(name: name, extents: extents, type: type, offset: header.number(8))
    }
    return File(
      bytes: header.bytes, integers: integers, items: items, start: Self.padded(header.position))
  }

  @Test(arguments: ["sdcpp", "comfyui", "diffusers"])
  func everyTensorFollowsTheOneBeforeIt(program: String) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.gguf"
      let model = try Readers.all.read(fixture("mini-sd"))
      try GGUFWriter().write(model, to: path, options: WriteOptions(program: program))
      let file = try read(path)
      var expected = 0
      for item in file.items {
        let (size, numbers) = try #require(Self.blocks[item.type], "\(item.name)")
        #expect(item.offset == expected, "\(item.name)")
        expected += Self.padded(item.extents.reduce(1, *) / numbers * size)
      }
      #expect(file.items.count > 100)
      #expect(file.bytes.count == file.start + expected)
    }
  }

  /// `general.file_type` is llama.cpp's number for the type with the most bytes.
  @Test(arguments: [
    ("f32", 0), ("f16", 1), ("bf16", 32), ("int4-g32", 2), ("int8-g32", 7), ("int5-g32", 8),
    ("q4_k", 14), ("q5_k", 16), ("q6_k", 18),
  ])
  func fileTypeIsThatOfMostBytes(encoding: String, fileType: Int) throws {
    let encoding = try #require(TensorEncoding(name: encoding))
    let rowBytes = try #require(encoding.byteCount(for: [1, 4096]))
    // More bytes than the rest of the model.
    let shape: Shape = [(32 << 20) / rowBytes, 4096]
    let parts = try #require(encoding.partSizes(for: shape)).map {
      ByteSlice([UInt8](repeating: 0, count: $0))
    }
    var model = try Readers.all.read(fixture("mini-sd"))
    let unet = try #require(model["unet"]).weights
    model["unet"]?.weights = ReplacedSource(
      base: unet, name: "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight",
      tensor: StoredTensor(shape: shape, encoding: encoding, parts: parts))
    try withTemporaryFolder { folder in
      let path = folder + "/a.gguf"
      try GGUFWriter().write(model, to: path, options: WriteOptions(program: "sdcpp"))
      #expect(try read(path).integers["general.file_type"] == fileType)
    }
  }

  /// Blocks hold the encoding bit for bit, also ones that no search would choose.
  @Test(arguments: ["int4-g32", "int5-g32", "int8-g32", "q4_k", "q5_k", "q6_k"])
  func blocksAreReadAsTheyWereWritten(encoding: String) throws {
    let name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    let encoding = try #require(TensorEncoding(name: encoding))
    let shape: Shape = [64, 512]
    var state: UInt64 = 7
    func tensor(_ mask: UInt8) throws -> StoredTensor {
      let sizes = try #require(encoding.partSizes(for: shape))
      let parts = zip(encoding.partNames, sizes).map { part, size in
        ByteSlice(
          (0..<size).map { _ -> UInt8 in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let byte = UInt8(truncatingIfNeeded: state >> 40)
            return part.hasPrefix("group_") && encoding.name != "q6_k" ? byte & mask : byte
          })
      }
      return StoredTensor(shape: shape, encoding: encoding, parts: parts)
    }
    func written(_ tensor: StoredTensor, to path: String) throws {
      var model = try Readers.all.read(fixture("mini-sd"))
      let unet = try #require(model["unet"]).weights
      model["unet"]?.weights = ReplacedSource(base: unet, name: name, tensor: tensor)
      try GGUFWriter().write(model, to: path, options: WriteOptions(program: "sdcpp"))
    }
    try withTemporaryFolder { folder in
      let stored = try tensor(63)
      try written(stored, to: folder + "/a.gguf")
      let read = try Archives.open(folder + "/a.gguf").weights.tensor(
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight")
      #expect(read.entry == stored.entry)
      #expect(read.parts.map(\.array) == stored.parts.map(\.array))
      guard encoding.codeFormat?.minimums.isEmpty == false else { return }
      let error = try #require(throws: GGUFError.self) {
        try written(try tensor(255), to: folder + "/b.gguf")
      }
      #expect(
        error.description.hasSuffix("has a group scale or minimum of 255, expected at most 63"))
    }
  }

  /// The bytes at a tensor's offset: plain numbers as in the model, and blocks of Q8_0, which are a
  /// float16 scale and 32 codes.
  @Test func bytesOfPlainAndQuantizedTensors() throws {
    let name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    let codes: [UInt8] = (0..<4096).map { UInt8($0 % 251) }
    var scales: [UInt8] = []
    for block in 0..<128 { scales += [UInt8(block), 0x2c] }
    var model = try Readers.all.read(fixture("mini-sd"))
    let unet = try #require(model["unet"]).weights
    model["unet"]?.weights = ReplacedSource(
      base: unet, name: name,
      tensor: StoredTensor(
        shape: [64, 64], encoding: .symmetric(bits: 8, groupSize: 32),
        parts: [ByteSlice(codes), ByteSlice(scales)]))
    try withTemporaryFolder { folder in
      let path = folder + "/a.gguf"
      try GGUFWriter().write(model, to: path, options: WriteOptions(program: "sdcpp"))
      let file = try read(path)
      func content(_ item: Item, _ count: Int) -> [UInt8] {
        Array(file.bytes[file.start + item.offset..<file.start + item.offset + count])
      }
      let byName = Dictionary(uniqueKeysWithValues: file.items.map { ($0.name, $0) })
      let kernel = try #require(byName["model.diffusion_model.input_blocks.0.0.weight"])
      #expect(kernel.extents == [3, 3, 4, 32] && kernel.type == 1)
      let stored = try unet.tensor("conv_in.weight").parts[0].array
      #expect(content(kernel, stored.count) == stored)

      #expect(file.items.map(\.type).filter { $0 == 8 }.count == 1)
      let query = try #require(
        byName["model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight"])
      #expect(query.type == 8)
      #expect(query.extents == [64, 64])
      var blocks: [UInt8] = []
      for block in 0..<128 {
        blocks += scales[(block * 2)...].prefix(2)
        blocks += codes[(block * 32)...].prefix(32)
      }
      #expect(content(query, 128 * 34) == blocks)
    }
  }
}

/// A source with one tensor replaced.
private struct ReplacedSource: WeightSource {
  let base: any WeightSource
  let name: String
  let tensor: StoredTensor

  var location: String { base.location }
  var names: [String] { base.names }
  func entry(_ name: String) -> TensorEntry? { name == self.name ? tensor.entry : base.entry(name) }
  func tensor(_ name: String) throws -> StoredTensor {
    name == self.name ? tensor : try base.tensor(name)
  }
}

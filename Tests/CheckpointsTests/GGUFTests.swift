import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// Reads GGUF files of gguf-py, and damaged files.
struct GGUFTests {
  static let types = [
    "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K",
    "Q6_K", "kernel", "vector", "odd",
  ]

  /// The numbers of every type are bit-identical to those of gguf-py.
  @Test(arguments: types) func everyTypeIsReadToTheBit(name: String) throws {
    let archive = try Archives.open(fixture("gguf/types.gguf"))
    let expected = try SafetensorsFile(path: fixture("gguf/types.safetensors")).tensor(name)
    let found = try archive.weights.tensor(name)
    #expect(found.shape == expected.shape)
    #expect(found.entry == archive.weights.entry(name))
    #expect(found.floats().map(\.bitPattern) == expected.floats().map(\.bitPattern))
  }

  /// Codes stay codes where rows are whole blocks.
  @Test(arguments: [
    ("Q8_0", "int8-g32"), ("Q4_0", "int4-g32"), ("kernel", "int8-g32"), ("vector", "f32"),
    ("odd", "f32"), ("Q5_0", "int5-g32"), ("Q4_K", "q4_k"), ("Q5_K", "q5_k"), ("Q6_K", "q6_k"),
    ("Q5_1", "f32"), ("Q3_K", "f32"), ("BF16", "bf16"),
  ]) func codesStayCodesWhereRowsAreWholeBlocks(name: String, encoding: String) throws {
    let archive = try Archives.open(fixture("gguf/types.gguf"))
    #expect(archive.weights.entry(name)?.encoding.name == encoding)
  }

  @Test func valuesAreRead() throws {
    let archive = try Archives.open(fixture("gguf/types.gguf"))
    #expect(archive.kind == "GGUF file")
    #expect(archive.metadata["general.architecture"] == "sd1")
    #expect(archive.metadata["a.u8"] == 200)
    #expect(archive.metadata["a.i16"] == -300)
    #expect(archive.metadata["a.f64"] == 0.5)
    #expect(archive.metadata["a.bool"] == true)
    // Long lists, such as vocabularies, are cut.
    #expect(archive.metadata["a.words"]?.array?.count == 65)
    #expect(archive.metadata["a.words"]?.array?.last == "and 36 more")
  }

  // MARK: - Damage

  private func refusal(_ bytes: [UInt8]) throws -> String {
    try withTemporaryFolder { folder in
      try write(bytes, to: folder + "/f.gguf")
      return message {
        let archive = try Archives.open(folder + "/f.gguf")
        for name in archive.weights.names { _ = try archive.weights.tensor(name).floats() }
      }.replacingOccurrences(of: folder + "/", with: "")
    }
  }

  /// A file of one tensor [4, 2] of float32 and one value.
  static func small(
    version: UInt32 = 3, tensors: UInt64 = 1, values: UInt64 = 1, key: String = "k",
    type: UInt32 = 4, value: [UInt8] = [7, 0, 0, 0], name: String = "w",
    extents: [UInt64] = [2, 4],
    kind: UInt32 = 0, offset: UInt64 = 0, data: Int = 32, repeats: Int = 1
  ) -> [UInt8] {
    func number(_ value: UInt64, _ width: Int) -> [UInt8] {
      (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
    func string(_ text: String) -> [UInt8] {
      number(UInt64(text.utf8.count), 8) + Array(text.utf8)
    }
    var bytes = Array("GGUF".utf8) + number(UInt64(version), 4) + number(tensors, 8)
    bytes += number(values, 8)
    bytes += string(key) + number(UInt64(type), 4) + value
    for _ in 0..<repeats {
      bytes += string(name) + number(UInt64(extents.count), 4)
      for extent in extents { bytes += number(extent, 8) }
      bytes += number(UInt64(kind), 4) + number(offset, 8)
    }
    bytes += [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32)
    return bytes + [UInt8](repeating: 1, count: data)
  }

  @Test func theSampleIsValid() throws {
    #expect(try refusal(Self.small()) == "no error")
  }

  /// The data begins at the next multiple of the alignment that the file states. The header has 98
  /// bytes; the sample has zeros up to byte 128 and ones after it.
  @Test(arguments: [(8, 6), (16, 4), (32, 0), (64, 0), (128, 0)])
  func theDataBeginsAtAMultipleOfTheAlignment(alignment: Int, zeros: Int) throws {
    try withTemporaryFolder { folder in
      let sample = Self.small(
        key: "general.alignment", value: [UInt8(alignment), 0, 0, 0])
      #expect(sample.count == 160)
      try write(sample, to: folder + "/f.gguf")
      let tensor = try Archives.open(folder + "/f.gguf").weights.tensor("w")
      let one = Float(bitPattern: 0x0101_0101)
      #expect(
        tensor.floats()
          == [Float](repeating: 0, count: zeros) + [Float](repeating: one, count: 8 - zeros))
    }
  }

  static let faults: [([UInt8], String)] = [
    (small(version: 1), "a GGUF file of version 1; expected version 2 or 3, little-endian"),
    (
      small(version: 0x0300_0000),
      "a GGUF file of big-endian numbers; expected version 2 or 3, little-endian"
    ),
    (small(tensors: 1 << 60), "the number of tensors is 1152921504606846976, expected at most 5"),
    (small(values: 1 << 60), "the number of values is 1152921504606846976, expected at most 9"),
    (small(type: 77), "the type of 'k' is 77, expected 0 to 12"),
    (
      small(type: 8, value: [255, 255, 255, 255, 255, 255, 255, 127]),
      "the length of the value of 'k' is 9223372036854775807, expected at most 91"
    ),
    (
      small(type: 9, value: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
      "the length of 'k' is 72057594037927936, expected at most 87"
    ),
    (
      small(
        type: 9, value: (0..<6).flatMap { _ in [9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0] as [UInt8] }),
      "the value of 'k' is arrays in arrays, expected at most 4 within another"
    ),
    (
      small(key: "general.alignment", value: [3, 0, 0, 0]),
      "'general.alignment' is 3, expected a power of two up to 65536"
    ),
    (
      small(kind: 16),
      "tensor 'w' has the ggml type 16; expected F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, I8, I16, I32, I64, F64, BF16"
    ),
    (
      small(extents: [1 << 39, 1 << 39]),
      "tensor 'w' is [549755813888, 549755813888] of F32, expected extents that the file can hold, the first a multiple of 1"
    ),
    (
      small(extents: [2, 4], kind: 8),
      "tensor 'w' is [2, 4] of Q8_0, expected extents that the file can hold, the first a multiple of 32"
    ),
    (small(extents: [1, 1, 1, 1, 1]), "tensor 'w' has 5 extents, expected a name and at most 4"),
    (
      small(offset: 7),
      "tensor 'w' begins at byte 7 of the data, expected a multiple of 32"
    ),
    (
      small(extents: [8, 4]),
      "tensor 'w' has 128 bytes from byte 96 on, but the file has 128 bytes"
    ),
    (small(tensors: 2, repeats: 2), "the name 'w' occurs twice"),
    (small(name: ""), "tensor '' has 2 extents, expected a name and at most 4"),
  ]

  @Test(arguments: faults) func hostileFilesAreRefused(bytes: [UInt8], sentence: String) throws {
    #expect(try refusal(bytes).replacingOccurrences(of: "f.gguf: ", with: "") == sentence)
  }

  @Test func overlapsAreRefused() throws {
    // Two tensors with different names and the same offset.
    var bytes = Self.small(tensors: 2, repeats: 2)
    let places = bytes.indices.filter { bytes[$0] == UInt8(ascii: "w") }
    bytes[places[1]] = UInt8(ascii: "v")
    #expect(
      try refusal(bytes).contains("within another, expected tensors that do not overlap"))
  }

  /// Every truncation of a file is refused with an error.
  @Test func everyTruncationIsRefused() throws {
    let whole = Self.small()
    for count in 4..<whole.count {
      #expect(try refusal(Array(whole[..<count])) != "no error", "\(count)")
    }
  }

  @Test func noBitFlipCrashes() throws {
    let whole = Self.small()
    for bit in 0..<whole.count * 8 {
      var bytes = whole
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      _ = try refusal(bytes)
    }
  }

  /// Changes bytes in the header of a file with blocks.
  @Test func noDamageOfARealFileCrashes() throws {
    let whole = try bytes(fixture("gguf/types.gguf"))
    var state: UInt64 = 1
    for _ in 0..<300 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      var damaged = whole
      damaged[Int(state >> 33) % min(whole.count, 4000)] ^= UInt8(truncatingIfNeeded: state >> 20)
      _ = try refusal(damaged)
    }
  }
}

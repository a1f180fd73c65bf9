import Foundation
import Packfiles
import Tensors
import TestSupport
import Testing

/// Files that an earlier Decant wrote, and what the independent reader `Formats/decant.py` found in
/// them.
///
/// `DECANT_WRITE_FIXTURES=1` writes the files again; the digests beside them are what
/// `python Formats/decant.py FILE --digests` prints.
@Suite struct FixtureTests {
  @Test(arguments: ["kinds", "blocks"]) func bothReadersAgree(name: String) throws {
    let reader = try PackfileReader(path: fixture("packfiles/\(name).decant"))
    try reader.check { _, _ in }
    let text = try ByteSlice.mapping(fixture("packfiles/\(name).json"))
    let parsed = try JSONValue(parsing: text.bytes)
    let expected = try #require(parsed.object)
    let model = try reader.model()
    var found = JSONObject()
    for component in model.components {
      for name in component.weights.names {
        let tensor = try component.weights.tensor(name)
        let key = "\(component.name)/\(name)"
        let isWidened = expected["tensors"]?.object?[key]?.object?["float32"]?.string != nil
        found[key] = [
          "shape": .array(tensor.shape.extents.map { .integer($0) }),
          "encoding": .string(tensor.encoding.name),
          "parts": .array(tensor.parts.map { digest($0) }),
          "float32": isWidened ? digest(ByteSlice(tensor.floats())) : .null,
        ]
      }
    }
    #expect(.object(found) == expected["tensors"])
    let files = JSONObject(model.files.map { ($0.path, digest($0.bytes)) })
    #expect(.object(files) == expected["files"])
  }

  @Test func theFixturesAreWhatTheyAreCalled() throws {
    let kinds = try PackfileReader(path: fixture("packfiles/kinds.decant")).manifest
    let encodings = Set(kinds.components[0].tensors.map(\.entry.encoding))
    #expect(encodings.isSuperset(of: RoundTripTests.encodings))
    #expect(kinds.components[0].tensors.contains { $0.isCoded })
    let blocks = try PackfileReader(path: fixture("packfiles/blocks.decant")).manifest
    let tensor = blocks.components[0].tensors[0]
    #expect(tensor.entry.shape.count > 262_144)
    #expect(tensor.regions[0].coding?.planes == 2)
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["DECANT_WRITE_FIXTURES"] != nil))
  func writeFixtures() throws {
    for (name, model) in [("kinds", Self.kinds), ("blocks", Self.blocks)] {
      try PackfileWriter(parity: ["psnr": 40.5]).write(
        model, to: fixture("packfiles/\(name).decant"), replacing: true
      ) { _, _ in }
    }
  }

  /// Every encoding, in odd shapes; numbers are finite, so that readers may not differ over NaN.
  private static var kinds: ModelSource {
    var tensors: [(String, StoredTensor)] = []
    for encoding in RoundTripTests.encodings {
      let shape: Shape = [4, 3, 3]
      switch encoding {
      case .plain(let kind) where [.f16, .bf16, .f32].contains(kind):
        tensors.append((encoding.name, Samples.gaussian(shape, kind)))
      case .plain(.f64):
        let doubles = Samples.gaussian(shape, .f32).floats().map { Double($0) / 3 }
        let bytes = doubles.flatMap { number in
          (0..<8).map { UInt8(truncatingIfNeeded: number.bitPattern >> UInt64(8 * $0)) }
        }
        tensors.append(
          ("f64", StoredTensor(shape: shape, encoding: encoding, parts: [ByteSlice(bytes)])))
      case .plain(.bool):
        let bytes = (0..<shape.count).map { UInt8($0 % 3 == 0 ? 1 : 0) }
        tensors.append(
          ("bool", StoredTensor(shape: shape, encoding: encoding, parts: [ByteSlice(bytes)])))
      case .plain(.f8e5m2):
        // Any byte with a clear top exponent bit is finite.
        let bytes = Samples.noise(shape, encoding).parts[0].array.map { $0 & 0xbf }
        tensors.append(
          (encoding.name, StoredTensor(shape: shape, encoding: encoding, parts: [ByteSlice(bytes)]))
        )
      case .plain:
        tensors.append((encoding.name, Samples.noise(shape, encoding)))
      case .symmetric:
        var tensor = Samples.noise(shape, encoding)
        let count = tensor.parts[1].count / (encoding.scaleKind == .f16 ? 2 : 4)
        let scales = Samples.gaussian([count], encoding.scaleKind ?? .f32)
        var codes = tensor.parts[0].array
        // The nibble left over at the end of a row of nine is zero.
        if codes.count == 4 * 5 { for row in 0..<4 { codes[row * 5 + 4] &= 0x0f } }
        tensor = StoredTensor(
          shape: shape, encoding: encoding, parts: [ByteSlice(codes), scales.parts[0]])
        tensors.append((encoding.name, tensor))
      }
    }
    tensors += [
      ("coded.f16", Samples.gaussian([9, 257], .f16)), ("coded.int8", Samples.int8([2, 2500])),
      ("coded.f32", Samples.gaussian([1031], .f32)),
      ("scalar", Samples.gaussian([], .f32)), ("empty", Samples.noise([0, 4], .int8)),
      ("narrow", Samples.noise([3, 0], .symmetric(bits: 4, groupSize: 8))),
    ]
    let text = (0..<900).map { "token\($0) </w>\n" }.joined()
    return Samples.model(
      tensors, files: [Samples.file("tokenizer/merges.txt", text), Samples.file("notes", "")])
  }

  /// More than one block in two planes, of a few values so that it stays small.
  private static var blocks: ModelSource {
    var randoms = Randoms(seed: 5)
    let floats = (0..<262_144 + 777).map { _ in
      Int.random(in: 0..<9, using: &randoms) == 0 ? randoms.gaussian() : 0
    }
    let coarse = floats.map { ($0 * 2).rounded() / 2 }
    return Samples.model([("half", StoredTensor(shape: [coarse.count], floats: coarse, as: .f16))])
  }

  private func digest(_ bytes: ByteSlice) -> JSONValue {
    .string(
      hexadecimalText(Frame.digest(bytes.array)))
  }
}

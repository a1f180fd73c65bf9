import Foundation
import ModelSources
import Packfiles
import Support
import Tensors
import TestSupport
import Testing

/// Files of earlier versions of Decant, and the results of the independent reader
/// `Formats/decant.py`.
///
/// `kinds` and `blocks` were written when deflate was the only codec. `DECANT_WRITE_FIXTURES=1`
/// writes `huffman` again; `Fixtures/packfiles/scaled.py` writes `scaled`, `codes.py` beside it
/// `codes`. The digests beside the files are what `Fixtures/packfiles/digests.py` prints.
@Suite struct FixtureTests {
  @Test(arguments: ["kinds", "blocks", "huffman", "scaled", "codes"])
  func bothReadersAgree(name: String) throws {
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

  @Test func theFixturesHaveTheNamedCodecs() throws {
    let kinds = try PackfileReader(path: fixture("packfiles/kinds.decant")).manifest
    let encodings = Set(kinds.components[0].tensors.map(\.entry.encoding))
    let scaled = try PackfileReader(path: fixture("packfiles/scaled.decant")).manifest
      .components[0].tensors.map(\.entry.encoding)
    let codes = try PackfileReader(path: fixture("packfiles/codes.decant")).manifest
      .components[0].tensors.map(\.entry.encoding)
    #expect(
      encodings.union(scaled).union(codes).isSuperset(of: RoundTripTests.encodings))
    #expect(kinds.components[0].tensors.contains { $0.isCoded })
    let blocks = try PackfileReader(path: fixture("packfiles/blocks.decant")).manifest
    let tensor = blocks.components[0].tensors[0]
    #expect(tensor.entry.shape.count > 262_144)
    #expect(tensor.regions[0].coding?.planes == 2)
    #expect(kinds.codecs == [0, 1] && blocks.codecs == [1])
    let huffman = try PackfileReader(path: fixture("packfiles/huffman.decant")).manifest
    #expect(huffman.codecs == [0, 1, 2])
    #expect(huffman.components[0].tensors.map(\.isCoded) == [true, true, true, true, false])
    #expect(
      huffman.components[0].tensors.map { $0.regions[0].coding?.planes } == [2, 1, 4, 2, nil])
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["DECANT_WRITE_FIXTURES"] != nil))
  func writeFixtures() throws {
    let path = fixture("packfiles/huffman.decant")
    try PackfileWriter().write(Self.huffman, to: path, replacing: true) { _, _ in }
    try Packfile.record(parity: ["psnr": 40.5], in: path) { _, _ in }
  }

  /// Numbers in 1, 2 and 4 planes, with more than one block of a few values, so that the file is
  /// small.
  private static var huffman: ModelSource {
    var randoms = Randoms(seed: 5)
    let floats = (0..<262_144 + 777).map { _ in
      Int.random(in: 0..<9, using: &randoms) == 0 ? (randoms.gaussian() * 2).rounded() / 2 : 0
    }
    let text = (0..<900).map { "token\($0) </w>\n" }.joined()
    return Samples.model(
      [
        ("coded.f16", Samples.gaussian([9, 2057], .f16)),
        ("coded.int8", Samples.int8([2, 9001])), ("coded.f32", Samples.gaussian([5031], .f32)),
        ("blocks", StoredTensor(shape: [floats.count], floats: floats, as: .f16)),
        ("noise", Samples.noise([70, 70], .plain(.u8))),
      ], files: [Samples.file("tokenizer/merges.txt", text), Samples.file("notes", "")])
  }

  private func digest(_ bytes: ByteSlice) -> JSONValue {
    .string(
      hexadecimalText(Frame.digest(bytes.array)))
  }
}

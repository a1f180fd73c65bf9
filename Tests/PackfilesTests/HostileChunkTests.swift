import ModelSources
import Packfiles
import Support
import Tensors
import TestSupport
import Testing

/// Coded regions with valid checksums and invalid chunks.
@Suite struct HostileChunkTests {
  typealias Chunk = HostileFile.Chunk

  /// The deflate stream of `count` zeros.
  static let zeros = DeflateCodec().encode([UInt8](repeating: 0, count: 2400), as: .text) ?? []
  static let fewer = DeflateCodec().encode([UInt8](repeating: 0, count: 2399), as: .text) ?? []
  static let more = DeflateCodec().encode([UInt8](repeating: 0, count: 2401), as: .text) ?? []
  static let stored = Chunk(bytes: [UInt8](repeating: 0, count: 2400), codec: 0)
  static let coded = Chunk(bytes: zeros)
  static let place = "unet tensor 'b'"

  static let cases: [([Chunk], PackfileError.Reason)] = [
    // Chunks that decode to fewer or more bytes, that have bytes left over, or that are not deflate
    // data.
    ([stored, Chunk(bytes: fewer)], .undecodable(region: place, chunk: 1, codec: "deflate")),
    ([stored, Chunk(bytes: more)], .undecodable(region: place, chunk: 1, codec: "deflate")),
    ([Chunk(bytes: zeros + [0]), stored], .undecodable(region: place, chunk: 0, codec: "deflate")),
    (
      [Chunk(bytes: zeros.dropLast()), stored],
      .undecodable(region: place, chunk: 0, codec: "deflate")
    ),
    (
      [stored, Chunk(bytes: [UInt8](repeating: 0xaa, count: 400))],
      .undecodable(region: place, chunk: 1, codec: "deflate")
    ),
    // Tables that do not fit the region.
    (
      [stored, Chunk(bytes: zeros, codec: 2)],
      .invalidTable(
        region: place, chunk: 1, found: "codec 2", expected: "one of the file's codecs [0, 1]")
    ),
    (
      [stored, Chunk(bytes: [UInt8](repeating: 1, count: 149))],
      .invalidTable(
        region: place, chunk: 1, found: "149 bytes for 2400",
        expected: "1 to 16 decoded bytes for each")
    ),
    (
      [stored, Chunk(bytes: zeros, length: 2401)],
      .invalidTable(
        region: place, chunk: 1, found: "2401 bytes for 2400",
        expected: "1 to 16 decoded bytes for each")
    ),
    (
      [stored, Chunk(bytes: zeros, length: zeros.count + 1)],
      .invalidTable(
        region: place, chunk: 1, found: "\(zeros.count + 1) bytes",
        expected: "at most \(zeros.count)")
    ),
    (
      [stored, Chunk(bytes: zeros, length: zeros.count - 1)],
      .invalidTable(
        region: place, chunk: 1, found: "its end at offset \(512 + 2400 + zeros.count - 1)",
        expected: "offset \(512 + 2400 + zeros.count)")
    ),
    // A valid chunk that does not match the manifest's checksum.
    ([stored, coded], .damaged(region: place)),
  ]

  @Test(arguments: cases.indices) func isRefused(index: Int) throws {
    let (chunks, reason) = Self.cases[index]
    var file = try HostileFile()
    file.setChunks(chunks)
    let reader = try PackfileReader(contents: file.bytes, location: "x")
    #expect(throws: PackfileError("x", reason)) { try reader.check { _, _ in } }
    #expect(throws: PackfileError("x", reason)) {
      try reader.model().components[0].weights.tensor("b")
    }
  }

  @Test func validChunksAreRead() throws {
    var file = try HostileFile()
    file.setChunks([Self.stored, Self.coded])
    let crc = crc32(of: [UInt8](repeating: 0, count: 4800))
    file.set(HostileFile.partB + ["crc32"], to: .string(hexadecimalText(crc)))
    let reader = try PackfileReader(contents: file.bytes, location: "x")
    let tensor = try reader.model().components[0].weights.tensor("b")
    #expect(tensor.parts[0].array == [UInt8](repeating: 0, count: 4800))
  }

  @Test func paddingMustBeZero() throws {
    var file = try HostileFile()
    file.regions[64 + 400] = 1
    let reader = try PackfileReader(contents: file.bytes, location: "x")
    #expect(throws: PackfileError("x", .damagedPadding(region: "unet tensor 'a'"))) {
      try reader.model().components[0].weights.tensor("a")
    }
  }

  @Test func everyErrorHasOneSentenceAndARemedy() {
    let reasons: [PackfileError.Reason] =
      Self.cases.map(\.1) + [
        .noPackfile(firstBytes: [80, 75]), .tooShort(bytes: 9), .damagedHeader,
        .missingFooter(bytes: 900), .damagedFooter, .unknownVersion(2),
        .wrongLength(found: 1, expected: 2), .manifestOutOfPlace(offset: 1, length: 2),
        .manifestTooLong(bytes: 1 << 30), .damagedManifest,
        .damagedPadding(region: Self.place), .damagedTable(region: Self.place),
        .damagedChunk(region: Self.place, chunk: 3),
      ]
    #expect(PackfileError("x", .averaged).remedy == .leaveOut(.ema))
    #expect(
      PackfileError("x", .damagedHeader).remedy
        == .either([.downloadAgain, .act("create it again")]))
    #expect(
      PackfileError("x", .noPackfile(firstBytes: [])).remedy
        == .either([.act("name a .decant file"), .downloadAgain, .act("create it again")]))
    #expect(PackfileError("x", .unknownCodec(9)).remedy == .act("use a newer version of Decant"))
    for reason in reasons {
      let error = PackfileError("x.decant", reason)
      let text = error.description
      #expect(text.hasPrefix("x.decant: "))
      #expect(!text.contains("\n") && !text.hasSuffix("."))
      #expect(error.remedy != nil, "\(text)")
    }
  }
}

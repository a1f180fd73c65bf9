internal import Support
internal import Tensors

/// Writes parts of tensors and small files as consecutive regions.
final class RegionWriter {
  let file: ReplacingFile
  private let codes: Bool
  private(set) var codecs: Set<Int> = []

  /// The smallest part that is coded, in bytes. Coding smaller parts saves little.
  private static let smallestCoded = 4096
  /// The smallest estimated saving for which a part or a chunk is coded, as a fraction.
  private static let leastSaving = 0.02

  init(_ file: ReplacingFile, codes: Bool) {
    self.file = file
    self.codes = codes
  }

  /// Writes one part and the padding after it.
  ///
  /// - Parameters:
  ///   - crc: the part's CRC-32.
  ///   - planes: the bytes of one number, which is the number of planes where the part is coded.
  ///   - advance: called with the bytes written since the last call.
  /// - Throws: ``FileError``, or `CancellationError` between two windows of blocks.
  func append(
    _ part: ByteSlice, crc: UInt32, planes: Int, as content: ChunkContent,
    advance: (Int) -> Void
  ) throws -> Manifest.Region {
    let offset = file.offset
    var region = Manifest.Region(
      offset: offset, length: part.count, decodedLength: part.count, crc: crc)
    if codes, let plan = Self.plan(part, planes: planes, as: content) {
      region.coding = Manifest.Coding(
        planes: planes,
        tableCRC: try writeCoded(part, planes: planes, plan, as: content, advance: advance))
      region.length = file.offset - offset
    } else {
      try file.write(part)
      advance(part.count)
    }
    try file.align()
    return region
  }

  /// The byte counts of each chunk to code, and `nil` for chunks to store uncoded, in the order of
  /// the chunk table; `nil` to store the whole part uncoded.
  static func plan(
    _ part: ByteSlice, planes: Int, as content: ChunkContent
  ) -> [[UInt32]?]? {
    guard part.count >= smallestCoded else { return nil }
    let estimates = mapConcurrently(
      Manifest.Region.blocks(part.count, planes: planes)
    ) { block in
      let range = blockRange(block, part.count, planes)
      let counts = part[range].byteCounts(planes: planes)
      return (0..<planes).map { plane -> (counts: [UInt32]?, size: Double) in
        let counts = counts[plane * 256..<(plane + 1) * 256]
        let size = Double(range.count / planes)
        guard let estimate = Codecs.estimatedSize(counts: counts, as: content),
          estimate <= size * (1 - leastSaving)
        else { return (nil, size) }
        return (Array(counts), estimate)
      }
    }.flatMap { $0 }
    let size =
      estimates.reduce(0) { $0 + $1.size } + Double(estimates.count * Packfile.tableEntrySize)
    return size <= Double(part.count) * (1 - leastSaving) ? estimates.map(\.counts) : nil
  }

  /// Writes the chunks, a window of blocks at a time, and their table. Returns the table's CRC.
  private func writeCoded(
    _ part: ByteSlice, planes: Int, _ plan: [[UInt32]?], as content: ChunkContent,
    advance: (Int) -> Void
  ) throws -> UInt32 {
    let blocks = Manifest.Region.blocks(part.count, planes: planes)
    var table: [UInt8] = []
    for first in stride(from: 0, to: blocks, by: Packfile.window) {
      try Cancellation.check()
      let count = min(Packfile.window, blocks - first)
      let coded = mapConcurrently(count) { index in
        let block = part[blockRange(first + index, part.count, planes)]
        return (0..<planes).map { plane in
          Chunk(
            block.plane(plane, of: planes),
            counts: plan[(first + index) * planes + plane], as: content)
        }
      }
      for chunk in coded.joined() {
        try file.write(chunk.bytes)
        table.appendLittleEndian(UInt32(chunk.bytes.count))
        table.appendLittleEndian(chunk.crc)
        table.appendLittleEndian(UInt32(chunk.codec))
        codecs.insert(chunk.codec)
      }
      advance(
        blockRange(first + count - 1, part.count, planes).upperBound
          - blockRange(first, part.count, planes).lowerBound)
    }
    try file.write(table)
    return crc32(of: table)
  }
}

/// The stored form of one chunk.
private struct Chunk: Sendable {
  let bytes: [UInt8]
  let codec: Int
  let crc: UInt32

  /// Encodes `plane` with the codec that gives the fewest bytes. Of equal codecs the first is used.
  ///
  /// - Parameter counts: how often each byte value occurs; `nil` to store the chunk uncoded.
  init(_ plane: [UInt8], counts: [UInt32]?, as content: ChunkContent) {
    var best = (bytes: plane, codec: 0)
    if let counts {
      for codec in Codecs.all {
        if let coded = codec.encode(plane, counts: counts, as: content),
          coded.count < best.bytes.count,
          coded.count * Packfile.expansionLimit >= plane.count
        {
          best = (coded, codec.identifier)
        }
      }
    }
    bytes = best.bytes
    codec = best.codec
    crc = crc32(of: bytes)
  }
}

/// The bytes of a part that block `block` covers.
func blockRange(_ block: Int, _ count: Int, _ planes: Int) -> Range<Int> {
  let size = Packfile.blockElements * planes
  return block * size..<min(count, (block + 1) * size)
}

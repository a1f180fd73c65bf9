internal import Support
internal import Tensors

extension PackfileReader {
  /// Decodes a coded region and passes its bytes to `consume`, block by block.
  ///
  /// Memory is bounded by ``Packfile/window`` blocks. Verifies the table before any chunk, each
  /// chunk before it is decoded, and the decoded bytes at the end.
  func decode(
    _ region: Manifest.Region, _ coding: Manifest.Coding, _ place: String,
    _ consume: ([UInt8]) -> Void
  ) throws(PackfileError) {
    let planes = coding.planes
    let blocks = Manifest.Region.blocks(region.decodedLength, planes: planes)
    let chunks = try chunkTable(of: region, coding, count: blocks * planes, place)
    var crc: UInt32 = 0
    for first in stride(from: 0, to: blocks, by: Packfile.window) {
      let count = min(Packfile.window, blocks - first)
      let run = chunks[first * planes..<(first + count) * planes]
      let start = run.first?.range.lowerBound ?? 0
      let stored = contents.window(start..<(run.last?.range.upperBound ?? start))
      let decoded = mapConcurrently(count) { index in
        Result { () throws(PackfileError) in
          let base = (first + index) * planes
          var block: [[UInt8]] = []
          for chunk in base..<base + planes {
            let range = chunks[chunk].range
            let bytes = stored[range.lowerBound - start..<range.upperBound - start]
            block.append(try self.decode(bytes, chunks[chunk], number: chunk, place))
          }
          return joined(planes: block)
        }
      }
      for block in decoded {
        let bytes = try block.get()
        crc = crc32(of: bytes, after: crc)
        consume(bytes)
      }
    }
    if crc != region.crc { throw PackfileError(location, .damaged(region: place)) }
  }

  private func decode(
    _ bytes: ByteSlice, _ chunk: ChunkEntry, number: Int, _ place: String
  ) throws(PackfileError) -> [UInt8] {
    if crc32(of: bytes.bytes) != chunk.crc {
      throw PackfileError(location, .damagedChunk(region: place, chunk: number))
    }
    guard let output = chunk.codec.decode(bytes, count: chunk.decodedLength) else {
      throw PackfileError(
        location, .undecodable(region: place, chunk: number, codec: chunk.codec.name))
    }
    return output
  }

  /// Reads the chunk table of a region. Checks every entry against the region and the limits of the
  /// format.
  private func chunkTable(
    of region: Manifest.Region, _ coding: Manifest.Coding, count: Int, _ place: String
  ) throws(PackfileError) -> [ChunkEntry] {
    let end = region.offset + region.length
    let tableStart = end - count * Packfile.tableEntrySize
    let table = contents.window(tableStart..<end).array
    if crc32(of: table) != coding.tableCRC {
      throw PackfileError(location, .damagedTable(region: place))
    }
    func invalid(_ chunk: Int, _ found: String, _ expected: String) -> PackfileError {
      PackfileError(
        location,
        .invalidTable(region: place, chunk: chunk, found: found, expected: expected))
    }
    var chunks: [ChunkEntry] = []
    chunks.reserveCapacity(count)
    var start = region.offset
    for index in 0..<count {
      let entry = index * Packfile.tableEntrySize
      let length = Int(table.integer32(at: entry))
      let identifier = Int(table.integer32(at: entry + 8))
      let decoded =
        blockRange(
          index / coding.planes, region.decodedLength, coding.planes
        ).count / coding.planes
      guard manifest.codecs.contains(identifier), let codec = Codecs.codec(identifier) else {
        throw invalid(index, "codec \(identifier)", "one of the file's codecs \(manifest.codecs)")
      }
      guard length <= decoded, length * Packfile.expansionLimit >= decoded else {
        throw invalid(
          index, "\(length) bytes for \(decoded)",
          "1 to \(Packfile.expansionLimit) decoded bytes for each")
      }
      guard length <= tableStart - start else {
        throw invalid(index, "\(length) bytes", "at most \(tableStart - start)")
      }
      chunks.append(
        ChunkEntry(
          range: start..<start + length, decodedLength: decoded,
          crc: table.integer32(at: entry + 4), codec: codec))
      start += length
    }
    if start != tableStart {
      throw invalid(count - 1, "its end at offset \(start)", "offset \(tableStart)")
    }
    return chunks
  }
}

/// An entry of a chunk table, with the chunk's byte range and decoded length.
private struct ChunkEntry: Sendable {
  /// The chunk's bytes in the file.
  let range: Range<Int>
  let decodedLength: Int
  /// CRC-32 of the stored bytes.
  let crc: UInt32
  let codec: any Codec
}

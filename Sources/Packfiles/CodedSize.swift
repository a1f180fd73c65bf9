internal import Support
package import Tensors

/// The bytes that a tensor takes in a `.decant` file whose numbers are coded, with its chunk tables
/// and the padding of its parts, from histograms of its bytes. Nothing is coded.
package func codedByteCount(of tensor: StoredTensor) -> Int {
  zip(tensor.parts, tensor.encoding.numberWidths).reduce(0) { sum, part in
    let bytes = RegionWriter.codedByteCount(of: part.0, planes: part.1)
    return sum + (bytes + Packfile.alignment - 1) / Packfile.alignment * Packfile.alignment
  }
}

extension RegionWriter {
  /// The bytes of a part of weights, coded or not, as ``append(_:crc:planes:as:advance:)`` writes it,
  /// without padding.
  fileprivate static func codedByteCount(of part: ByteSlice, planes: Int) -> Int {
    guard let plan = plan(part, planes: planes, as: .weights) else { return part.count }
    var bytes = plan.count * Packfile.tableEntrySize
    for (index, counts) in plan.enumerated() {
      let plane = blockRange(index / planes, part.count, planes).count / planes
      // Each chunk is coded with the codec that gives the fewest bytes.
      let sizes = counts.map { counts in
        Codecs.all.compactMap { $0.size(counts: counts, as: .weights) }
      }
      bytes += min(plane, sizes?.min() ?? plane)
    }
    return bytes
  }
}

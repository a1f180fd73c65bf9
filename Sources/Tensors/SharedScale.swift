/// Which weights of a layer share a scale in an encoding, and how far rounding to nearest moves them.
package struct SharedScale: Equatable, Sendable {
  package enum Extent: Equatable, Sendable {
    case tensor, row
    /// Rows whose groups are rotated before they are rounded.
    case rotatedRow
    /// Groups of this many consecutive weights of a row.
    case group(Int)
  }

  package let extent: Extent
  /// The largest error of a weight, as a fraction of the weight.
  package let relativeError: Double
  /// The largest error of a weight, as a fraction of the largest magnitude with the same scale. The
  /// error of a weight is at most the larger of both.
  package let absoluteError: Double
}

extension TensorEncoding {
  /// The weights that share a scale; `nil` for plain numbers.
  package var sharedScale: SharedScale? {
    switch self {
    case .plain: return nil
    // Half a unit of a mantissa of 3 bits. Below 2^-6, codes are multiples of 2^-9; the scale maps
    // the largest magnitude to 448.
    case .scaled:
      return SharedScale(extent: .tensor, relativeError: 0x1p-4, absoluteError: 0x1p-10 / 448)
    case .codes(let format):
      let extent: SharedScale.Extent =
        if format.isRotated {
          .rotatedRow
        } else if let length = format.scales.compactMap(\.runLength).max() {
          .group(length)
        } else {
          .row
        }
      // Half a step between codes that lie in -127...127 for 8 bits. A scale that is a product moves
      // weights by less than that, because one of its factors is rounded.
      let steps = Double((1 << format.bits) - 2)
      return SharedScale(
        extent: extent, relativeError: 0,
        absoluteError: (format.scales.count > 1 ? 2 : 1) / steps)
    }
  }
}

internal import Tensors

/// A matrix of results cut into tiles, the units of `parallel`. The cut follows from the extents
/// alone.
struct Tiles {
  let rows: Int
  let columns: Int
  /// Extents of a tile; the last ones may be smaller.
  private(set) var height: Int
  private(set) var width: Int

  /// Tiles of at most 320 x 512: large enough that OpenBLAS's packing of the operands costs a few
  /// percent, small enough for a second-level cache. Where they are too few to share out, smaller
  /// ones, down to 64, below which packing shows.
  init(rows: Int, columns: Int) {
    (self.rows, self.columns) = (rows, columns)
    height = Tiles.evenly(rows, 320)
    width = Tiles.evenly(columns, 512)
    while count < 16 && max(height, width) > 64 {
      if width >= height {
        width = Tiles.evenly(columns, max(64, width / 2))
      } else {
        height = Tiles.evenly(rows, max(64, height / 2))
      }
    }
  }

  private var down: Int { rows == 0 ? 0 : (rows - 1) / height + 1 }
  private var across: Int { columns == 0 ? 0 : (columns - 1) / width + 1 }

  var count: Int { down * across }

  /// The rows and columns of a tile.
  subscript(tile: Int) -> (rows: Range<Int>, columns: Range<Int>) {
    let top = tile / across * height
    let left = tile % across * width
    return (top..<min(rows, top + height), left..<min(columns, left + width))
  }

  /// The size of equal parts of at most `limit` that fill `extent`, in steps of 16.
  static func evenly(_ extent: Int, _ limit: Int) -> Int {
    let parts = max(1, (extent + limit - 1) / limit)
    let size = (extent + parts - 1) / parts
    return max(1, min(limit, (size + 15) / 16 * 16))
  }
}

/// The length of a sum is cut so that a tile of weights, or of columns, stays below 2.5 MB. Every
/// encoding is cut alike: so weights give the same bits however they are stored.
func sumParts(_ length: Int) -> [Range<Int>] {
  let size = Tiles.evenly(length, 1152)
  return stride(from: 0, to: length, by: size).map { $0..<min(length, $0 + size) }
}

extension StoredTensor {
  /// Gives rows and columns of the weights as a float32 matrix: in place where they are stored as
  /// one, else widened into `scratch`.
  func withMatrix(
    rows: Range<Int>, columns: Range<Int>, scratch: UnsafeMutablePointer<Float>,
    _ body: (Matrix) -> Void
  ) {
    let inPlace: Void? = withFloatsInPlace(rows: rows) { span in
      span.withUnsafeBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        body(Matrix(base: base + columns.lowerBound, stride: shape.rowLength))
      }
    }
    if inPlace != nil { return }
    var target = MutableSpan(_unsafeStart: scratch, count: rows.count * columns.count)
    widen(rows: rows, columns: columns, into: &target)
    body(Matrix(base: scratch, stride: columns.count))
  }
}

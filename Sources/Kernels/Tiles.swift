internal import Tensors

/// The division of a result matrix into tiles, which are the units of `parallel`. It depends on the
/// extents alone.
struct Tiles {
  let rows: Int
  let columns: Int
  /// The extents of a tile. The last tiles may be smaller.
  private(set) var height: Int
  private(set) var width: Int

  /// Tiles have at most 320 x 512 elements: large enough that OpenBLAS's packing of operands costs
  /// a few percent, and small enough for a second-level cache. With fewer than 16 tiles they are
  /// made smaller, down to 64, below which packing costs too much.
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

/// Divides a sum into parts, so that a tile of weights, or of columns, stays below 2.5 MB. The
/// parts do not depend on the encoding, so weights give the same bits in every encoding.
func sumParts(_ length: Int) -> [Range<Int>] {
  let size = Tiles.evenly(length, 1152)
  return stride(from: 0, to: length, by: size).map { $0..<min(length, $0 + size) }
}

extension StoredTensor {
  /// Calls `body` with rows and columns of the weights as a float32 matrix: the stored numbers
  /// where they are float32, otherwise numbers that are widened into `scratch`.
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

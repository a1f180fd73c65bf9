internal import CKernels
internal import Support
internal import Tensors

/// The division of a result matrix [rows, images x area] into tiles, which are the units of
/// `parallel`. It depends on the extents alone.
package struct ProductTiles {
  /// The rows of weights, and the columns of pixels, that one call of the kernel multiplies.
  static let blockRows = Int(DECANT_TILE_ROWS)
  static let panelColumns = Int(DECANT_TILE_COLUMNS)

  /// The words of a sum that are processed at a time. Each part after the first reads and writes
  /// the results again; with longer parts, tiles would have too few rows.
  package static let longestPart = 1280
  /// The maximum weights of a tile and a part: 860 KB, which fit in a second-level cache of 1 MB
  /// together with a panel of pixels. 168 rows are whole blocks.
  package static let mostWeights = 168 * longestPart
  /// The maximum rows of a tile, of all halves together, for sums of any length.
  package static let mostRows = 336

  let rows: Int
  let images: Int
  let area: Int
  private(set) var height: Int
  private(set) var width: Int

  /// Tiles are large, because packing costs less the more often a packed operand is used. They are
  /// smaller where there would be too few for all threads.
  ///
  /// - Parameter wide: whether tiles keep their width. If pixels are packed only once, more tiles
  ///   of fewer rows do not pack them more often.
  init(rows: Int, images: Int, area: Int, tallest: Int, wide: Bool) {
    (self.rows, self.images, self.area) = (rows, images, area)
    height = Self.even(rows, tallest, Self.blockRows)
    width = Self.even(area, 1024, Self.panelColumns)
    if wide {
      while count < 16 && height > 2 * Self.blockRows {
        height = Self.even(rows, height / 2, Self.blockRows)
      }
      return
    }
    while count < 16 && (height > 2 * Self.blockRows || width > 2 * Self.panelColumns) {
      if width > height && width > 2 * Self.panelColumns || height <= 2 * Self.blockRows {
        width = Self.even(area, width / 2, Self.panelColumns)
      } else {
        height = Self.even(rows, height / 2, Self.blockRows)
      }
    }
  }

  private var down: Int { rows == 0 ? 0 : (rows - 1) / height + 1 }
  private var across: Int { area == 0 ? 0 : (area - 1) / width + 1 }

  var count: Int { down * across * images }

  /// The image, rows and pixels of a tile. Tiles with the same weights are adjacent.
  subscript(tile: Int) -> (image: Int, rows: Range<Int>, columns: Range<Int>) {
    let top = tile / (across * images) * height
    let left = tile % across * width
    return (
      tile / across % images, top..<min(rows, top + height), left..<min(area, left + width)
    )
  }

  /// The size of equal parts of at most about `limit` that fill `extent`, a multiple of `step`.
  static func even(_ extent: Int, _ limit: Int, _ step: Int) -> Int {
    let most = max(step, limit / step * step)
    let parts = max(1, (extent + most - 1) / most)
    let size = (extent + parts - 1) / parts
    return max(step, (size + step - 1) / step * step)
  }

  /// The maximum rows of a tile in each of `halves`, where parts have `longest` words.
  package static func tallest(longest: Int, halves: Int) -> Int {
    min(mostRows, mostWeights / max(1, longest)) / halves
  }

  /// Divides a sum of `length` words into parts. They do not depend on the encoding, so weights
  /// give the same bits in every encoding.
  package static func parts(_ length: Int, longest: Int = longestPart) -> [Range<Int>] {
    // An empty sum has one part too, because a bias or residual may be added to it.
    if length == 0 { return [0..<0] }
    let size = even(length, longest, 16)
    return stride(from: 0, to: length, by: size).map { $0..<min(length, $0 + size) }
  }
}

/// The arguments of one kernel call: packed blocks of rows, one packed panel, and the target.
struct PanelProduct {
  let left: UnsafePointer<UInt32>
  let right: UnsafePointer<UInt32>
  let length: Int
  let image: Int
  let rows: Range<Int>
  let columns: Range<Int>
  let target: UnsafeMutablePointer<Float>
  let stride: Int
  let isFirst: Bool
  let isLast: Bool
}

/// The operands of a matrix product. A 32-bit word is one float32 number, or four codes.
protocol ProductOperands: Sendable {
  /// The rows of the result, before any gate.
  var rows: Int { get }
  /// The words of a sum.
  var length: Int { get }
  /// The maximum words of pixels that are packed all at once. More pixels are packed again for each
  /// tile of weights.
  static var mostPackedOnce: Int { get }

  /// Rows of weights in blocks of 14. They are packed into `target` unless they are packed already.
  ///
  /// - Parameters:
  ///   - rows: rows of one half, beginning with a block of that half.
  ///   - part: one of ``ProductTiles/parts(_:longest:)``.
  ///   - scratch: as many words as a block.
  /// - Returns: `target`, or words that are valid as long as the operands exist.
  func packedWeights(
    _ rows: Range<Int>, _ part: Range<Int>, scratch: UnsafeMutablePointer<Float>,
    into target: UnsafeMutablePointer<UInt32>
  ) -> UnsafePointer<UInt32>
  /// Packs a panel of pixels.
  func packPixels(
    image: Int, _ part: Range<Int>, _ columns: Range<Int>,
    into target: UnsafeMutablePointer<UInt32>)
  func multiply(_ product: PanelProduct)
}

/// Multiplies `operands` for `images` of `area` pixels.
///
/// Each tile is computed on its own, one part of the sum after another. For each part it packs the
/// tile's weights, unless they are packed already, and one panel of pixels after another. The
/// memory besides the result is therefore bounded: the windows ("im2col") of a large image are
/// never all in memory.
///
/// - Parameters:
///   - gated: whether the second half of the rows gates the first half. The result has half the
///     rows.
///   - output: [image, rows, area].
func multiply<Operands: ProductOperands>(
  _ operands: Operands, images: Int, area: Int, gated: Bool, into output: Target
) {
  let rows = gated ? operands.rows / 2 : operands.rows
  let parts = ProductTiles.parts(operands.length)
  let block = ProductTiles.blockRows
  let panel = ProductTiles.panelColumns
  let panels = (area + panel - 1) / panel
  let panelWords = panel * operands.length
  let longest = parts.first?.count ?? 0
  let halves = gated ? 2 : 1
  let tallest = ProductTiles.tallest(longest: longest, halves: halves)
  let isPackedOnce = rows > tallest && images * panels * panelWords <= Operands.mostPackedOnce
  let tiles = ProductTiles(
    rows: rows, images: images, area: area, tallest: tallest, wide: isPackedOnce)
  let shared = Scratch.floats(isPackedOnce ? images * panels * panelWords : 1)
  defer { Scratch.release(shared) }
  let packed = Target(base: shared.base)
  if isPackedOnce {
    interruptibleParallel(images * panels) { unit in
      let first = unit % panels * panel
      for part in parts {
        operands.packPixels(
          image: unit / panels, part, first..<min(area, first + panel),
          into: words32(packed + unit * panelWords + panel * part.lowerBound))
      }
    }
  }
  let weightWords = tiles.height * longest
  let hiddenWords = gated ? tiles.height * tiles.width : 0
  let words = halves * weightWords + block * longest + panel * longest + 2 * hiddenWords
  interruptibleParallel(tiles.count, scratch: words) { unit, scratch in
    let (image, range, columns) = tiles[unit]
    let widened = scratch + halves * weightWords
    let pixels = widened + block * longest
    let hidden = pixels + panel * longest
    for part in parts {
      func weights(_ half: Int) -> UnsafePointer<UInt32> {
        operands.packedWeights(
          range.lowerBound + half * rows..<range.upperBound + half * rows, part, scratch: widened,
          into: words32(scratch + half * weightWords))
      }
      let left = weights(0)
      let gates = gated ? weights(1) : left
      for first in stride(from: columns.lowerBound, to: columns.upperBound, by: panel) {
        let some = first..<min(columns.upperBound, first + panel)
        var right = pixels
        if isPackedOnce {
          right = packed + (image * panels + first / panel) * panelWords + panel * part.lowerBound
        } else {
          operands.packPixels(image: image, part, some, into: words32(pixels))
        }
        for half in 0..<halves {
          let target =
            gated
            ? hidden + half * hiddenWords + first - columns.lowerBound
            : output + (image * rows + range.lowerBound) * area + first
          operands.multiply(
            PanelProduct(
              left: half == 0 ? left : gates, right: words32(right),
              length: part.count, image: image,
              rows: range.lowerBound + half * rows..<range.upperBound + half * rows, columns: some,
              target: target, stride: gated ? columns.count : area,
              isFirst: part.lowerBound == 0, isLast: part.upperBound == operands.length))
        }
      }
    }
    if gated {
      for (index, row) in range.enumerated() {
        decant_geglu(
          hidden + index * columns.count, hidden + hiddenWords + index * columns.count,
          output + (image * rows + row) * area + columns.lowerBound, columns.count)
      }
    }
  }
}

/// Scratch memory as 32-bit words, which are numbers or codes.
func words32(_ floats: UnsafeMutablePointer<Float>) -> UnsafeMutablePointer<UInt32> {
  UnsafeMutableRawPointer(floats).assumingMemoryBound(to: UInt32.self)
}

private func words32(_ floats: UnsafeMutablePointer<Float>) -> UnsafePointer<UInt32> {
  UnsafePointer(words32(floats) as UnsafeMutablePointer<UInt32>)
}

/// The operands of weights in any encoding times the float32 pixels under a window.
struct FloatOperands: ProductOperands {
  /// 64 MB, enough for SDXL at 1024x1024.
  static let mostPackedOnce = 16 << 20
  /// The words of each of 14 rows of weights that are widened and packed at a time: 18 KB.
  private static let packedAtOnce = 320

  let weight: StoredTensor
  let bias: [Float]?
  let window: decant_window
  let images: Source
  let residual: Source?

  var rows: Int { weight.shape.rows }
  var length: Int { weight.shape.rowLength }

  func packedWeights(
    _ rows: Range<Int>, _ part: Range<Int>, scratch: UnsafeMutablePointer<Float>,
    into target: UnsafeMutablePointer<UInt32>
  ) -> UnsafePointer<UInt32> {
    let block = ProductTiles.blockRows
    for first in stride(from: rows.lowerBound, to: rows.upperBound, by: block) {
      let end = min(rows.upperBound, first + block)
      var place = target + (first - rows.lowerBound) * part.count
      for column in stride(from: part.lowerBound, to: part.upperBound, by: Self.packedAtOnce) {
        let columns = column..<min(part.upperBound, column + Self.packedAtOnce)
        weight.prefetch(rows: end..<min(rows.upperBound, end + block), columns: columns)
        weight.packBlock(first..<end, columns, scratch: scratch, into: place)
        place += columns.count * block
      }
    }
    return UnsafePointer(target)
  }

  func packPixels(
    image: Int, _ part: Range<Int>, _ columns: Range<Int>,
    into target: UnsafeMutablePointer<UInt32>
  ) {
    let plane = window.channels * window.height * window.width
    let source = UnsafeRawPointer(images + image * plane).assumingMemoryBound(to: UInt32.self)
    withUnsafePointer(to: window) {
      decant_pack_window(
        source, $0, part.lowerBound, part.count, columns.lowerBound, columns.count, 0, target)
    }
  }

  func multiply(_ product: PanelProduct) {
    let area = window.out_height * window.out_width
    let place =
      (product.image * rows + product.rows.lowerBound) * area + product.columns.lowerBound
    withOptional(product.isLast ? bias : nil, from: product.rows.lowerBound) { bias in
      var output = decant_product(
        c: product.target, stride: product.stride, rows: product.rows.count,
        columns: product.columns.count, bias: bias,
        residual: product.isLast ? residual.map { $0 + place } : nil,
        keep: product.isFirst ? 0 : 1)
      decant_product_f32(
        UnsafeRawPointer(product.left).assumingMemoryBound(to: Float.self),
        UnsafeRawPointer(product.right).assumingMemoryBound(to: Float.self), product.length, &output
      )
    }
  }
}

extension StoredTensor {
  /// The memory of the numbers in `columns` of each of `rows`, for a prefetch. The pointer is used
  /// only as a hint and never read.
  func ahead(rows: Range<Int>, columns: Range<Int>) -> decant_ahead {
    let place = place(ofColumns: columns)
    return parts[0].withUnsafeBytes { raw in
      decant_ahead(
        bytes: raw.baseAddress.map { $0 + rows.lowerBound * place.stride + place.offset },
        stride: place.stride, rows: rows.count, count: place.count)
    }
  }

  /// Prefetches the numbers in `columns` of each of `rows`, which will be widened soon. The
  /// hardware prefetcher does not follow reads that alternate between rows.
  func prefetch(rows: Range<Int>, columns: Range<Int>) {
    var ahead = ahead(rows: rows, columns: columns)
    decant_prefetch(&ahead)
  }

  /// Packs at most 14 rows as float32. If they must be widened, this happens in the first-level
  /// cache.
  ///
  /// - Parameter scratch: as many numbers as are packed.
  func packBlock(
    _ rows: Range<Int>, _ columns: Range<Int>, scratch: UnsafeMutablePointer<Float>,
    into target: UnsafeMutablePointer<UInt32>
  ) {
    precondition(rows.count <= ProductTiles.blockRows, "\(rows) in a block")
    let packed: Void? = withHalvesInPlace(rows: rows) { halves in
      halves.withUnsafeBufferPointer { halves in
        guard let base = halves.baseAddress else { return }
        decant_pack_halves(
          base + columns.lowerBound, shape.rowLength, rows.count, columns.count, target)
      }
    }
    if packed != nil { return }
    withMatrix(rows: rows, columns: columns, scratch: scratch) {
      packRows($0, rows.count, columns.count, into: target)
    }
  }
}

/// Packs rows of a matrix in blocks of 14.
func packRows(
  _ matrix: Matrix, _ rows: Int, _ length: Int, into target: UnsafeMutablePointer<UInt32>
) {
  let source = UnsafeRawPointer(matrix.base).assumingMemoryBound(to: UInt32.self)
  for first in stride(from: 0, to: rows, by: ProductTiles.blockRows) {
    decant_pack_rows(
      source + first * matrix.stride, matrix.stride, min(ProductTiles.blockRows, rows - first),
      length, target + first * length)
  }
}

/// Calls `body` with a pointer to the numbers from index `first` on, or with a null pointer.
func withOptional(
  _ numbers: [Float]?, from first: Int, _ body: (UnsafePointer<Float>?) -> Void
) {
  guard let numbers else { return body(nil) }
  numbers.withUnsafeBufferPointer { body($0.baseAddress.map { $0 + first }) }
}

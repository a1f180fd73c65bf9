internal import CKernels
internal import Support
package import Tensors

/// The weights of one layer as symmetric int8 codes with a scale for each output channel, packed
/// for integer products.
package struct Int8Weight: Sendable {
  package let shape: Shape
  /// Whether the second half of the outputs gates the first half. Each half begins with a new
  /// block.
  fileprivate let gated: Bool
  /// The words of a row, of four codes each: [in / 4][kernel].
  fileprivate let length: Int
  /// For each half and each part of a sum: [block of 14 rows][words of the part][14].
  private let words: FixedWords
  private let scales: [Float]
  /// The sum of each output's codes, which corrects for the zero points of the pixels.
  private let sums: [Int32]

  /// Packs the stored codes if `weight` is int8 with a scale for each output channel. Otherwise
  /// rounds the widened numbers to int8 with `scale = largest magnitude / 127`.
  ///
  /// - Parameter gated: whether the second half of the layer's outputs gates the first half.
  /// - Precondition: rows have at most ``longestRow`` numbers.
  package init(_ weight: StoredTensor, gated: Bool = false) {
    let shape = weight.shape
    precondition(
      (!gated || shape.rows % 2 == 0) && shape.rowLength <= Self.longestRow,
      "halves, or rows, of \(shape)")
    (self.shape, self.gated) = (shape, gated)
    let (rows, codesOfRow) = (shape.rows, shape.rowLength)
    let taps = shape.rank == 4 ? shape[2] * shape[3] : 1
    let channels = taps == 0 ? 0 : codesOfRow / taps
    let length = Self.words(channels) * taps
    self.length = length
    var scales = [Float](repeating: 0, count: rows)
    var sums = [Int32](repeating: 0, count: rows)
    let halves = gated ? 2 : 1
    let rowsOfHalf = rows / halves
    let block = ProductTiles.blockRows
    let blocks = (rowsOfHalf + block - 1) / block
    let words = FixedWords(count: halves * blocks * block * length)
    let parts = ProductTiles.parts(length)
    scales.withUnsafeMutableBufferPointer { scales in
      sums.withUnsafeMutableBufferPointer { sums in
        let (scales, sums) = (DisjointSlices(scales), DisjointSlices(sums))
        parallel(halves * blocks, scratch: block * length) { unit, scratch in
          let (half, index) = (unit / blocks, unit % blocks)
          let first = half * rowsOfHalf + index * block
          let range = first..<min((half + 1) * rowsOfHalf, first + block)
          let lines = UnsafeMutableRawPointer(scratch)
          weight.withCodes(range) { codes, blockScales in
            for (place, row) in range.enumerated() {
              let line = codes + place * codesOfRow
              scales[row] = blockScales[place]
              sums[row] = (0..<codesOfRow).reduce(0) { $0 &+ Int32(line[$1]) }
              decant_pack_codes(
                line, channels, taps,
                (lines + place * length * 4).assumingMemoryBound(to: Int8.self))
            }
          }
          for part in parts {
            decant_pack_rows(
              lines.assumingMemoryBound(to: UInt32.self) + part.lowerBound, length, range.count,
              part.count,
              words.base
                + Self.place(half, index * block, part, rows: rowsOfHalf, length: length))
          }
        }
      }
    }
    self.words = words
    self.scales = scales
    self.sums = sums
  }

  /// The longest row whose sum of products, at most 255 * 128 each, cannot overflow 32 bits.
  package static let longestRow = Int(Int32.max) / (255 * 128)

  /// The words of `channels` codes.
  static func words(_ channels: Int) -> Int { (channels + 3) / 4 }

  /// The packed blocks from `row` on, which must begin a block, for a part of the sums.
  fileprivate func packed(from row: Int, _ part: Range<Int>) -> UnsafePointer<UInt32> {
    let rowsOfHalf = gated ? shape.rows / 2 : shape.rows
    return UnsafePointer(
      words.base
        + Self.place(
          row / rowsOfHalf, row % rowsOfHalf, part, rows: rowsOfHalf, length: length))
  }

  /// The offset of the block that begins at `row` of a half, where halves have `rows` rows of
  /// `length` words.
  private static func place(
    _ half: Int, _ row: Int, _ part: Range<Int>, rows: Int, length: Int
  ) -> Int {
    let block = ProductTiles.blockRows
    let padded = (rows + block - 1) / block * block
    return (half * length + part.lowerBound) * padded + row * part.count
  }

  fileprivate func withRow(
    _ row: Int, _ body: (UnsafePointer<Float>, UnsafePointer<Int32>) -> Void
  ) {
    scales.withUnsafeBufferPointer { scales in
      sums.withUnsafeBufferPointer { sums in
        guard let scale = scales.baseAddress, let sum = sums.baseAddress else { return }
        body(scale + row, sum + row)
      }
    }
  }
}

/// Words at a fixed address during the object's lifetime.
///
/// Unchecked: threads fill disjoint parts before the object is shared, and only read it afterwards.
private final class FixedWords: @unchecked Sendable {
  let base: UnsafeMutablePointer<UInt32>

  init(count: Int) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(64, count * 4), alignment: 64)
    adviseLargePages(UnsafeMutableRawBufferPointer(start: memory, count: count * 4))
    base = memory.bindMemory(to: UInt32.self, capacity: count)
  }

  deinit { UnsafeMutableRawPointer(base).deallocate() }
}

extension StoredTensor {
  /// Calls `body` with the codes and scales of `rows`: the stored ones, or those of rounding to
  /// nearest.
  fileprivate func withCodes(
    _ rows: Range<Int>, _ body: (UnsafePointer<Int8>, UnsafePointer<Float>) -> Void
  ) {
    let length = shape.rowLength
    if encoding == .int8 {
      let scales = parts[1][rows.lowerBound * 4..<rows.upperBound * 4].withUnsafeBytes { raw in
        rows.indices.map {
          raw.loadUnaligned(fromByteOffset: ($0 - rows.lowerBound) * 4, as: Float.self)
        }
      }
      parts[0][rows.lowerBound * length..<rows.upperBound * length].withUnsafeBytes { raw in
        guard let base = raw.baseAddress?.assumingMemoryBound(to: Int8.self) else { return }
        scales.withUnsafeBufferPointer { scales in
          if let scales = scales.baseAddress { body(base, scales) }
        }
      }
      return
    }
    var floats = [Float](repeating: 0, count: rows.count * length)
    var span = floats.mutableSpan
    widen(rows: rows, into: &span)
    var codes = [Int8](repeating: 0, count: floats.count)
    var scales = [Float](repeating: 0, count: rows.count)
    floats.withUnsafeBufferPointer { floats in
      codes.withUnsafeMutableBufferPointer { codes in
        guard let floats = floats.baseAddress, let base = codes.baseAddress else { return }
        for row in scales.indices {
          let scale = decant_largest_magnitude(floats + row * length, length) / 127
          // Rows of zeros, and rows whose scale is too small to divide by, get zero codes.
          guard scale.isNormal else { continue }
          scales[row] = scale
          decant_symmetric_int8_codes(
            floats + row * length, length, scale, 127, base + row * length)
        }
        scales.withUnsafeBufferPointer { if let scales = $0.baseAddress { body(base, scales) } }
      }
    }
  }
}

/// Activations as uint8 codes that are computed at run time: `number = (code - zero) * scale`.
///
/// The range of the numbers, extended to include 0, is divided into 255 steps. Each pixel has its
/// own range, or each image where the kernel's windows combine pixels. A number that is not finite,
/// or a range that overflows, makes all results of the range NaN.
private struct Int8Pixels {
  /// The number of pixels of all images.
  private let count: Int
  /// The words of a pixel.
  private let rows: Int
  /// Codes [batch][channels / 4][area][4], then a scale and a zero point for each pixel.
  private let memory: FixedWords

  var words: UnsafeMutablePointer<UInt32> { memory.base }
  var scales: UnsafeMutablePointer<Float> { numbers(rows * count) }
  var zeros: UnsafeMutablePointer<Int32> { numbers((rows + 1) * count) }

  private func numbers<Number>(_ offset: Int) -> UnsafeMutablePointer<Number> {
    UnsafeMutableRawPointer(memory.base + offset).bindMemory(to: Number.self, capacity: count)
  }

  init(_ x: Tensor, perPixel: Bool) {
    let (batch, channels) = (x.shape[0], x.shape[1])
    let area = x.shape.extents.dropFirst(2).reduce(1, *)
    count = batch * area
    rows = Int8Weight.words(channels)
    memory = FixedWords(count: (rows + 2) * count)
    let scratch = Scratch.floats(4 * count)
    defer { Scratch.release(scratch) }
    // For each pixel the smallest and the largest number, 1 / scale, and the zero point.
    let smallest = Target(base: scratch.base)
    let largest = Target(base: scratch.base + count)
    let inverses = Target(base: scratch.base + 2 * count)
    let offsets = Target(base: scratch.base + 3 * count)
    let (pixels, rows) = (self, rows)
    let run = columnRun(of: area)
    let runs = (area + run - 1) / run
    x.values.reading { x in
      @Sendable func quantize(_ image: Int, _ columns: Range<Int>) {
        let place = image * area + columns.lowerBound
        decant_quantize_columns(
          x + image * channels * area + columns.lowerBound, area, channels, columns.count,
          inverses + place, offsets + place,
          pixels.words + image * rows * area + columns.lowerBound)
      }
      /// Sets the scale and the zero point of some pixels from their range.
      @Sendable func setScale(_ low: Float, _ high: Float, for places: Range<Int>) {
        let scale = (high - low) / 255
        let isUsable = scale.isNormal
        let zero = isUsable ? (-low / scale).rounded(.toNearestOrEven) : 0
        // An overflowing range must give NaN, not zeros.
        let otherwise: Float = scale.isFinite ? 0 : .nan
        for place in places {
          pixels.scales[place] = isUsable ? scale : otherwise
          pixels.zeros[place] = Int32(zero)
          offsets.base[place] = zero
          inverses.base[place] = isUsable ? 1 / scale : 0
        }
      }
      parallel(batch * runs) { unit in
        let (image, first) = (unit / runs, unit % runs * run)
        let columns = first..<min(area, first + run)
        let place = image * area + first
        decant_column_ranges(
          x + image * channels * area + first, area, channels, columns.count, smallest + place,
          largest + place)
        guard perPixel else { return }
        for pixel in place..<place + columns.count {
          setScale(smallest.base[pixel], largest.base[pixel], for: pixel..<pixel + 1)
        }
        // The numbers that were read for the ranges are still in the cache.
        quantize(image, columns)
      }
      if perPixel { return }
      for image in 0..<batch {
        let places = image * area..<(image + 1) * area
        let low = places.reduce(0) { min($0, smallest.base[$1]) }
        // `max` alone would ignore NaN.
        let nonfinite = places.reduce(0) { $0 + largest.base[$1] * 0 }
        let high = places.reduce(0) { max($0, largest.base[$1]) } + nonfinite
        setScale(low, high, for: places)
      }
      parallel(batch * runs) { unit in
        let first = unit % runs * run
        quantize(unit / runs, first..<min(area, first + run))
      }
    }
  }
}

/// The operands of int8 weights times the uint8 pixels under a window.
private struct Int8Operands: ProductOperands {
  /// 8 MB. Codes are packed quickly, and the purpose of int8 is to save memory.
  static let mostPackedOnce = 2 << 20

  let weight: Int8Weight
  let bias: [Float]?
  /// A window whose channels are words of four codes.
  let window: decant_window
  let pixels: Int8Pixels
  let residual: Source?

  var rows: Int { weight.shape.rows }
  var length: Int { weight.length }

  func packedWeights(
    _ rows: Range<Int>, _ part: Range<Int>, scratch: UnsafeMutablePointer<Float>,
    into target: UnsafeMutablePointer<UInt32>
  ) -> UnsafePointer<UInt32> {
    weight.packed(from: rows.lowerBound, part)
  }

  func packPixels(
    image: Int, _ part: Range<Int>, _ columns: Range<Int>,
    into target: UnsafeMutablePointer<UInt32>
  ) {
    let plane = window.height * window.width
    // The padding is 0, whose code is the image's zero point.
    let zero = UInt32(truncatingIfNeeded: pixels.zeros[image * plane]) & 0xff
    withUnsafePointer(to: window) {
      decant_pack_window(
        pixels.words + image * window.channels * plane, $0, part.lowerBound, part.count,
        columns.lowerBound, columns.count, zero &* 0x0101_0101, target)
    }
  }

  func multiply(_ product: PanelProduct) {
    let area = window.out_height * window.out_width
    let place =
      (product.image * rows + product.rows.lowerBound) * area + product.columns.lowerBound
    // Where windows combine pixels, all pixels of an image have the same scale.
    let pixel =
      product.image * window.height * window.width
      + (area == window.height * window.width ? product.columns.lowerBound : 0)
    withOptional(product.isLast ? bias : nil, from: product.rows.lowerBound) { bias in
      weight.withRow(product.rows.lowerBound) { rowScales, rowSums in
        var output = decant_int8_product(
          product: decant_product(
            c: product.target, stride: product.stride, rows: product.rows.count,
            columns: product.columns.count, bias: bias,
            residual: product.isLast ? residual.map { $0 + place } : nil,
            keep: product.isFirst ? 0 : 1),
          last: product.isLast ? 1 : 0, row_scales: rowScales, row_sums: rowSums,
          scales: pixels.scales + pixel, zeros: pixels.zeros + pixel)
        decant_product_u8s8(product.left, product.right, product.length, &output)
      }
    }
  }
}

/// ``convolve(_:weight:bias:residual:stride:padding:winograd:)`` with int8 weights and with `x`
/// rounded to uint8. Each pixel has its own scale if the kernel is 1 x 1; otherwise each image has
/// one.
///
/// Integer sums are exact, so results are bit-identical on every instruction set.
package func convolve(
  _ x: Tensor, weight: Int8Weight, bias: [Float]?, residual: Tensor? = nil, stride: Int = 1,
  padding: Padding = Padding(1)
) -> Tensor {
  precondition(
    x.shape.rank == 4 && weight.shape.rank == 4 && x.shape[1] == weight.shape[1] && !weight.gated
      && (bias == nil || bias?.count == weight.shape[0]) && stride >= 1,
    "convolution of \(x.shape) with \(weight.shape), stride \(stride)")
  var window = decant_window(of: x.shape, weight.shape, stride: stride, padding: padding)
  window.channels = Int8Weight.words(x.shape[1])
  let shape: Shape = [x.shape[0], weight.shape[0], window.out_height, window.out_width]
  precondition(residual == nil || residual?.shape == shape, "residual for \(shape)")
  precondition(shape[2] * shape[3] <= x.shape[2] * x.shape[3], "\(shape) of \(x.shape)")
  return multiply(
    x, weight, bias, residual, window, perPixel: window.isPointwise, shape: shape)
}

/// ``project(_:weight:bias:residual:gated:)`` with int8 weights and with `x` rounded to uint8. Each
/// token has its own scale. The result is gated if the weights are.
package func project(
  _ x: Tensor, weight: Int8Weight, bias: [Float]?, residual: Tensor? = nil
) -> Tensor {
  precondition(
    x.shape.rank >= 2 && x.shape[1] == weight.shape.rowLength
      && (bias == nil || bias?.count == weight.shape.rows),
    "\(weight.shape) by planes of \(x.shape)")
  let area = x.shape.extents.dropFirst(2).reduce(1, *)
  let outputs = weight.gated ? weight.shape.rows / 2 : weight.shape.rows
  let shape = Shape([x.shape[0], outputs] + x.shape.extents.dropFirst(2))
  precondition(
    residual == nil || !weight.gated && residual?.shape == shape, "residual for \(shape)")
  var window = decant_window(
    of: [x.shape[0], x.shape[1], 1, area], [weight.shape.rows, x.shape[1], 1, 1], stride: 1,
    padding: Padding(0))
  window.channels = Int8Weight.words(x.shape[1])
  return multiply(x, weight, bias, residual, window, perPixel: true, shape: shape)
}

private func multiply(
  _ x: Tensor, _ weight: Int8Weight, _ bias: [Float]?, _ residual: Tensor?,
  _ window: decant_window, perPixel: Bool, shape: Shape
) -> Tensor {
  let pixels = Profile.timing(.quantizing) { Int8Pixels(x, perPixel: perPixel) }
  let area = window.out_height * window.out_width
  let products = shape[0] * area * weight.shape.count
  return Profile.timing(.int8, products: products) {
    reading(residual) { residual in
      Tensor(shape: shape) { output in
        multiply(
          Int8Operands(
            weight: weight, bias: bias, window: window, pixels: pixels, residual: residual),
          images: shape[0], area: area, gated: weight.gated, into: output)
      }
    }
  }
}

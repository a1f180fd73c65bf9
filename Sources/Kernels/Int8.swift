internal import CKernels
internal import Support
package import Tensors

/// Weights of one layer as int8, packed as integer products take them: symmetric codes with a scale
/// for each output channel.
package struct Int8Weight: Sendable {
  package let shape: Shape
  /// Whether the second half of the outputs gates the first. Each half begins a block of its own.
  fileprivate let gated: Bool
  /// Words of four codes of a row: [in / 4][kernel].
  fileprivate let length: Int
  /// Of each half, of each part of a sum: [block of 14 rows][words of the part][14].
  private let words: FixedWords
  private let scales: [Float]
  /// The sum of each output's codes: what a zero point of the pixels adds.
  private let sums: [Int32]

  /// The codes as they are stored, where `weight` is int8 with a scale for each output channel;
  /// else the widened numbers rounded to it, `scale = largest magnitude / 127`.
  ///
  /// - Parameter gated: whether the layer's second half of outputs gates its first.
  /// - Precondition: rows of at most ``longestRow`` numbers.
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

  /// Numbers of a row whose products with codes, 255 * 128 each, cannot overflow 32 bits in a sum.
  package static let longestRow = Int(Int32.max) / (255 * 128)

  /// Words of as many channels.
  static func words(_ channels: Int) -> Int { (channels + 3) / 4 }

  /// Where the blocks from `row` on lie, which begins one, of a part of the sums.
  fileprivate func packed(from row: Int, _ part: Range<Int>) -> UnsafePointer<UInt32> {
    let rowsOfHalf = gated ? shape.rows / 2 : shape.rows
    return UnsafePointer(
      words.base
        + Self.place(
          row / rowsOfHalf, row % rowsOfHalf, part, rows: rowsOfHalf, length: length))
  }

  /// Where the block that begins at a row of a half lies, where halves have so many rows of `length`
  /// words.
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

/// Words that stay where they are as long as somebody holds this.
///
/// Unchecked: whoever makes it fills it, on several threads each its own part, before anybody else
/// sees it.
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
  /// Codes and scales of some rows: those stored, or plain rounding's.
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
          // Rows of zeros, and of numbers too small to divide by, are zeros.
          guard scale.isNormal else { continue }
          scales[row] = scale
          decant_symmetric_codes(floats + row * length, length, scale, 127, base + row * length)
        }
        scales.withUnsafeBufferPointer { if let scales = $0.baseAddress { body(base, scales) } }
      }
    }
  }
}

/// Activations as uint8 codes, quantized where they are made: `number = (code - zero) * scale`.
///
/// The range of the numbers, with 0 in it, is cut into 255 steps: of each pixel apart, or of a whole
/// picture where windows mix pixels. A number that is not finite, or a range that overflows, makes all
/// of them NaN.
private struct Int8Pixels {
  /// Pixels of all pictures.
  private let count: Int
  /// Words of a pixel.
  private let rows: Int
  /// Codes [batch][channels / 4][area][4], then a scale and a zero point of each pixel.
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
    defer { Scratch.give(scratch) }
    // Of each pixel the smallest number and the largest, 1 / scale, and the zero point.
    let smallest = Target(base: scratch.base)
    let largest = Target(base: scratch.base + count)
    let inverses = Target(base: scratch.base + 2 * count)
    let offsets = Target(base: scratch.base + 3 * count)
    let (pixels, rows) = (self, rows)
    let run = columnRun(of: area)
    let runs = (area + run - 1) / run
    x.values.reading { x in
      @Sendable func quantize(_ picture: Int, _ columns: Range<Int>) {
        let place = picture * area + columns.lowerBound
        decant_quantize_columns(
          x + picture * channels * area + columns.lowerBound, area, channels, columns.count,
          inverses + place, offsets + place,
          pixels.words + picture * rows * area + columns.lowerBound)
      }
      /// Cuts the range from the smallest to the largest number for some pixels.
      @Sendable func cut(_ low: Float, _ high: Float, for places: Range<Int>) {
        let scale = (high - low) / 255
        let isUsable = scale.isNormal
        let zero = isUsable ? (-low / scale).rounded(.toNearestOrEven) : 0
        // What overflowed must not come out as zeros.
        let otherwise: Float = scale.isFinite ? 0 : .nan
        for place in places {
          pixels.scales[place] = isUsable ? scale : otherwise
          pixels.zeros[place] = Int32(zero)
          offsets.base[place] = zero
          inverses.base[place] = isUsable ? 1 / scale : 0
        }
      }
      parallel(batch * runs) { unit in
        let (picture, first) = (unit / runs, unit % runs * run)
        let columns = first..<min(area, first + run)
        let place = picture * area + first
        decant_column_ranges(
          x + picture * channels * area + first, area, channels, columns.count, smallest + place,
          largest + place)
        guard perPixel else { return }
        for pixel in place..<place + columns.count {
          cut(smallest.base[pixel], largest.base[pixel], for: pixel..<pixel + 1)
        }
        // What was read for the ranges is still near.
        quantize(picture, columns)
      }
      if perPixel { return }
      for picture in 0..<batch {
        let places = picture * area..<(picture + 1) * area
        let low = places.reduce(0) { min($0, smallest.base[$1]) }
        // `max` alone would pass over NaN.
        let poison = places.reduce(0) { $0 + largest.base[$1] * 0 }
        let high = places.reduce(0) { max($0, largest.base[$1]) } + poison
        cut(low, high, for: places)
      }
      parallel(batch * runs) { unit in
        let first = unit % runs * run
        quantize(unit / runs, first..<min(area, first + run))
      }
    }
  }
}

/// int8 weights times uint8 pixels under a window.
private struct Int8Operands: ProductOperands {
  /// 8 MB: codes are soon packed, and int8 is there to save memory.
  static let mostPackedOnce = 2 << 20

  let weight: Int8Weight
  let bias: [Float]?
  /// Its channels are words of four.
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
    picture: Int, _ part: Range<Int>, _ columns: Range<Int>,
    into target: UnsafeMutablePointer<UInt32>
  ) {
    let plane = window.height * window.width
    // Around a picture lies 0, whose code is the picture's zero point.
    let zero = UInt32(truncatingIfNeeded: pixels.zeros[picture * plane]) & 0xff
    withUnsafePointer(to: window) {
      decant_pack_window(
        pixels.words + picture * window.channels * plane, $0, part.lowerBound, part.count,
        columns.lowerBound, columns.count, zero &* 0x0101_0101, target)
    }
  }

  func multiply(_ product: PanelProduct) {
    let area = window.out_height * window.out_width
    let place =
      (product.picture * rows + product.rows.lowerBound) * area + product.columns.lowerBound
    // Where windows mix pixels all of a picture's have one scale, whichever is looked at.
    let pixel =
      product.picture * window.height * window.width
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

/// ``convolve(_:weight:bias:residual:stride:padding:winograd:)`` of int8 weights and of `x` rounded to
/// uint8: each pixel with a scale of its own under a window of one pixel, else each picture.
///
/// Sums are exact, and so results are the same on every instruction set.
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

/// ``project(_:weight:bias:residual:gated:)`` of int8 weights, gated where they are, and of `x`
/// rounded to uint8, each token with a scale of its own.
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
          pictures: shape[0], area: area, gated: weight.gated, into: output)
      }
    }
  }
}

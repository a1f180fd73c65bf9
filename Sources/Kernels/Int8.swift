internal import CKernels
package import Tensors

/// Weights of one layer as int8, in the order in which integer products take them: symmetric codes
/// with a scale for each output channel.
package struct Int8Weight: Sendable {
  package let shape: Shape
  /// [out][in / 4][kernel][4].
  private let words: [UInt32]
  private let scales: [Float]
  /// The sum of each output's codes: what a zero point of the pixels adds.
  private let sums: [Int32]

  /// The codes as they are stored, where `weight` is int8 with a scale for each output channel;
  /// else the widened numbers rounded to it, `scale = largest magnitude / 127`.
  package init(_ weight: StoredTensor) {
    let shape = weight.shape
    self.shape = shape
    let (rows, length) = (shape.rows, shape.rowLength)
    let taps = shape.rank == 4 ? shape[2] * shape[3] : 1
    let channels = taps == 0 ? 0 : length / taps
    let wordsOfRow = Self.words(channels) * taps
    var scales = [Float](repeating: 0, count: rows)
    var sums = [Int32](repeating: 0, count: rows)
    words = [UInt32](unsafeUninitializedCapacity: rows * wordsOfRow) { words, count in
      count = rows * wordsOfRow
      let words = DisjointSlices(words)
      scales.withUnsafeMutableBufferPointer { scales in
        sums.withUnsafeMutableBufferPointer { sums in
          let (scales, sums) = (DisjointSlices(scales), DisjointSlices(sums))
          parallelBlocks(rows, size: max(1, blockSize / max(1, length))) { block in
            weight.withCodes(block) { codes, blockScales in
              for (index, row) in block.enumerated() {
                let line = codes + index * length
                scales[row] = blockScales[index]
                sums[row] = (0..<length).reduce(0) { $0 &+ Int32(line[$1]) }
                let target = words[row * wordsOfRow..<(row + 1) * wordsOfRow]
                target.withMemoryRebound(to: Int8.self) {
                  guard let base = $0.baseAddress else { return }
                  decant_pack_codes(line, channels, taps, base)
                }
              }
            }
          }
        }
      }
    }
    self.scales = scales
    self.sums = sums
  }

  /// Words of as many channels.
  static func words(_ channels: Int) -> Int { (channels + 3) / 4 }

  fileprivate var length: Int { shape.rows == 0 ? 0 : words.count / shape.rows }

  fileprivate func pack(
    _ rows: Range<Int>, _ part: Range<Int>, into target: UnsafeMutablePointer<UInt32>
  ) {
    words.withUnsafeBufferPointer { words in
      guard let base = words.baseAddress else { return }
      for first in stride(from: 0, to: rows.count, by: ProductTiles.blockRows) {
        let source = base + (rows.lowerBound + first) * length + part.lowerBound
        decant_pack_rows(
          source, length, min(ProductTiles.blockRows, rows.count - first), part.count,
          target + first * part.count)
      }
    }
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
/// picture where windows mix pixels.
struct Int8Pixels {
  /// [batch][channels / 4][area][4].
  let words: [UInt32]
  /// One of each for every pixel: [batch][area].
  let scales: [Float]
  let zeros: [Int32]

  init(_ x: Tensor, perPixel: Bool) {
    let (batch, channels) = (x.shape[0], x.shape[1])
    let area = x.shape.extents.dropFirst(2).reduce(1, *)
    let rows = Int8Weight.words(channels)
    let run = columnRun(of: area)
    let runs = (area + run - 1) / run
    var ranges = [Float](repeating: 0, count: 2 * batch * area)
    let smallest = ranges.count / 2
    var inverses = [Float](repeating: 0, count: batch * area)
    var offsets = inverses
    var scales = inverses
    var zeros = [Int32](repeating: 0, count: batch * area)
    x.values.reading { x in
      ranges.writing { ranges in
        parallel(batch * runs) { unit in
          let (picture, first) = (unit / runs, unit % runs * run)
          let place = picture * area + first
          decant_column_ranges(
            x + picture * channels * area + first, area, channels, min(run, area - first),
            ranges + place, ranges + smallest + place)
        }
      }
    }
    for picture in 0..<batch {
      let pixels = picture * area..<(picture + 1) * area
      let low = perPixel ? 0 : ranges[pixels].min() ?? 0
      let high =
        perPixel
        ? 0 : ranges[smallest + pixels.lowerBound..<smallest + pixels.upperBound].max() ?? 0
      for pixel in pixels {
        let bottom = perPixel ? ranges[pixel] : low
        let top = perPixel ? ranges[smallest + pixel] : high
        let scale = (top - bottom) / 255
        // What overflowed must not come out as zeros.
        if !scale.isFinite { scales[pixel] = .nan }
        guard scale.isNormal else { continue }
        let zero = (-bottom / scale).rounded(.toNearestOrEven)
        scales[pixel] = scale
        zeros[pixel] = Int32(zero)
        offsets[pixel] = zero
        inverses[pixel] = 1 / scale
      }
    }
    self.scales = scales
    self.zeros = zeros
    words = [UInt32](unsafeUninitializedCapacity: batch * rows * area) { words, count in
      count = batch * rows * area
      let words = DisjointSlices(words)
      x.values.reading { x in
        inverses.reading { inverses in
          offsets.reading { offsets in
            parallel(batch * runs) { unit in
              let (picture, first) = (unit / runs, unit % runs * run)
              decant_quantize_columns(
                x + picture * channels * area + first, area, channels, min(run, area - first),
                inverses + picture * area + first, offsets + picture * area + first,
                words.base + picture * rows * area + first)
            }
          }
        }
      }
    }
  }
}

/// int8 weights times uint8 pixels under a window.
private struct Int8Operands: ProductOperands {
  let weight: Int8Weight
  let bias: [Float]?
  /// Its channels are words of four.
  let window: decant_window
  let pixels: Int8Pixels
  let residual: Source?

  var rows: Int { weight.shape.rows }
  var length: Int { weight.length }

  func packWeights(
    _ rows: Range<Int>, _ part: Range<Int>, scratch: UnsafeMutablePointer<Float>,
    into target: UnsafeMutablePointer<UInt32>
  ) {
    weight.pack(rows, part, into: target)
  }

  func packPixels(
    picture: Int, _ part: Range<Int>, _ columns: Range<Int>,
    into target: UnsafeMutablePointer<UInt32>
  ) {
    let plane = window.height * window.width
    // Around a picture lies 0, whose code is the picture's zero point.
    let zero = UInt32(truncatingIfNeeded: pixels.zeros[picture * plane]) & 0xff
    pixels.words.withUnsafeBufferPointer { words in
      guard let base = words.baseAddress else { return }
      withUnsafePointer(to: window) {
        decant_pack_window(
          base + picture * window.channels * plane, $0, part.lowerBound, part.count,
          columns.lowerBound, columns.count, zero &* 0x0101_0101, target)
      }
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
      pixels.scales.withUnsafeBufferPointer { scales in
        pixels.zeros.withUnsafeBufferPointer { zeros in
          weight.withRow(product.rows.lowerBound) { rowScales, rowSums in
            guard let scales = scales.baseAddress, let zeros = zeros.baseAddress else { return }
            var output = decant_int8_product(
              product: decant_product(
                c: product.target, stride: product.stride, rows: product.rows.count,
                columns: product.columns.count, bias: bias,
                residual: product.isLast ? residual.map { $0 + place } : nil,
                keep: product.isFirst ? 0 : 1),
              last: product.isLast ? 1 : 0, row_scales: rowScales, row_sums: rowSums,
              scales: scales + pixel, zeros: zeros + pixel)
            decant_product_u8s8(product.left, product.right, product.length, &output)
          }
        }
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
    x.shape.rank == 4 && weight.shape.rank == 4 && x.shape[1] == weight.shape[1]
      && (bias == nil || bias?.count == weight.shape[0]) && stride >= 1,
    "convolution of \(x.shape) with \(weight.shape), stride \(stride)")
  var window = decant_window(of: x.shape, weight.shape, stride: stride, padding: padding)
  window.channels = Int8Weight.words(x.shape[1])
  let shape: Shape = [x.shape[0], weight.shape[0], window.out_height, window.out_width]
  precondition(residual == nil || residual?.shape == shape, "residual for \(shape)")
  precondition(shape[2] * shape[3] <= x.shape[2] * x.shape[3], "\(shape) of \(x.shape)")
  let isPointwise = weight.shape[2] * weight.shape[3] == 1 && stride == 1 && padding == Padding(0)
  return multiply(
    x, weight, bias, residual, window, perPixel: isPointwise, gated: false, shape: shape)
}

/// ``project(_:weight:bias:residual:gated:)`` of int8 weights and of `x` rounded to uint8, each token
/// with a scale of its own.
package func project(
  _ x: Tensor, weight: Int8Weight, bias: [Float]?, residual: Tensor? = nil, gated: Bool = false
) -> Tensor {
  precondition(
    x.shape.rank >= 2 && x.shape[1] == weight.shape.rowLength
      && (bias == nil || bias?.count == weight.shape.rows)
      && (!gated || weight.shape.rows % 2 == 0),
    "\(weight.shape) by planes of \(x.shape)")
  let area = x.shape.extents.dropFirst(2).reduce(1, *)
  let outputs = gated ? weight.shape.rows / 2 : weight.shape.rows
  let shape = Shape([x.shape[0], outputs] + x.shape.extents.dropFirst(2))
  precondition(residual == nil || residual?.shape == shape, "residual for \(shape)")
  var window = decant_window(
    of: [x.shape[0], x.shape[1], 1, area], [weight.shape.rows, x.shape[1], 1, 1], stride: 1,
    padding: Padding(0))
  window.channels = Int8Weight.words(x.shape[1])
  return multiply(x, weight, bias, residual, window, perPixel: true, gated: gated, shape: shape)
}

private func multiply(
  _ x: Tensor, _ weight: Int8Weight, _ bias: [Float]?, _ residual: Tensor?,
  _ window: decant_window, perPixel: Bool, gated: Bool, shape: Shape
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
          pictures: shape[0], area: area, gated: gated, into: output)
      }
    }
  }
}

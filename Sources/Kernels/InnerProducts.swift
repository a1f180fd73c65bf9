internal import CKernels
internal import Support
internal import Tensors

extension FloatOperands {
  /// Computes the product for `images` of `area` pixels with the faster of two kernels. The choice
  /// depends only on the weights and the extents of one image, so an image gives the same bits in
  /// any batch.
  func product(images: Int, area: Int, gated: Bool, into output: Target) {
    if InnerProduct.isFaster(area: area, length: length) {
      InnerProduct(self, images: images, area: area, gated: gated).run(into: output)
    } else {
      Kernels.multiply(self, images: images, area: area, gated: gated, into: output)
    }
  }
}

/// A matrix product for few pixels, by inner products of unpacked rows of weights and of pixels,
/// whose words are adjacent.
///
/// The other kernel packs weights, which costs as much as the products of about 11 pixels, and
/// computes 16 columns at a time. This kernel adds up the lanes of a vector for each result
/// instead, which is a smaller share of the work the longer the sum is.
private struct InnerProduct {
  /// The words of a sum that are processed at a time. A few rows of weights and the pixels of a
  /// chunk then fit in a cache of 1 MB.
  private static let longestPart = 4096
  /// The rows of a tile are a multiple of this, which is a multiple of the rows that any
  /// instruction set processes at a time.
  private static let rowStep = 12
  private static let tallest = 48

  private let operands: FloatOperands
  private let images: Int
  private let area: Int
  private let halves: Int
  private let rows: Int
  private let height: Int
  private let parts: [Range<Int>]
  /// The words from one pixel to the next.
  private let stride: Int

  /// Whether this kernel is faster, as measured with AVX-512 and AVX2. With more pixels, packing is
  /// a small share; with shorter sums, adding up lanes is a large one.
  static func isFaster(area: Int, length: Int) -> Bool {
    (1...128).contains(area) && 4 * area <= length
  }

  /// - Parameter gated: whether the second half of the rows gates the first half.
  init(_ operands: FloatOperands, images: Int, area: Int, gated: Bool) {
    (self.operands, self.images, self.area) = (operands, images, area)
    halves = gated ? 2 : 1
    rows = operands.rows / halves
    height = ProductTiles.even(
      rows, min(Self.tallest, max(Self.rowStep, rows / 16)), Self.rowStep)
    parts = ProductTiles.parts(operands.length, longest: Self.longestPart)
    // An odd number of whole cache lines, so that neighbouring pixels map to different cache sets.
    stride = ((operands.length + 15) / 16 | 1) * 16
  }

  func run(into output: Target) {
    let memory = Scratch.floats(images * area * stride)
    defer { Scratch.release(memory) }
    let pixels = Target(base: memory.base)
    layPixels(into: pixels)
    let hiddenWords = halves == 2 ? height * area * images : 0
    let widenedWords = height * (parts.first?.count ?? 0)
    let tiles = rows == 0 ? 0 : (rows - 1) / height + 1
    let threads = Threads.count
    interruptibleParallel(tiles, scratch: widenedWords + 2 * hiddenWords) { unit, scratch in
      let tile = tile(unit)
      let hidden = scratch + widenedWords
      for (index, part) in parts.enumerated() {
        for half in 0..<halves {
          let own = self.tile(unit, half: half)
          let next: (rows: Range<Int>, part: Range<Int>) =
            if half + 1 < halves {
              (self.tile(unit, half: half + 1), part)
            } else if index + 1 < parts.count {
              (tile, parts[index + 1])
            } else {
              // Other threads compute the tiles in between.
              (self.tile(unit + threads), parts[0])
            }
          withRows(own, part, scratch: scratch) { weights in
            for image in 0..<images {
              let place = image * rows + tile.lowerBound
              multiply(
                weights, by: pixels + image * area * stride + part.lowerBound,
                rows: own, part: part, place: place * area,
                // Prefetch once, not for each image.
                ahead: image == 0 ? next : (0..<0, part),
                into: halves == 2
                  ? hidden + half * hiddenWords + image * height * area : output + place * area)
            }
          }
        }
      }
      if halves == 2 {
        for image in 0..<images {
          let values = hidden + image * height * area
          decant_geglu(
            values, values + hiddenWords, output + (image * rows + tile.lowerBound) * area,
            tile.count * area)
        }
      }
    }
  }

  /// The rows of a tile in one half; an empty range after the last tile.
  private func tile(_ unit: Int, half: Int = 0) -> Range<Int> {
    let top = min(rows, unit * height)
    return half * rows + top..<half * rows + min(rows, top + height)
  }

  /// Transposes the pixels so that the words of each are adjacent, padded with zeros.
  private func layPixels(into pixels: Target) {
    let (length, panel) = (operands.length, ProductTiles.panelColumns)
    // 128 rows of a panel are 16 KB and stay in the first-level cache.
    let run = 128
    let runs = (length - 1) / run + 1
    interruptibleParallel(images * runs, scratch: panel * run) { unit, scratch in
      let (image, first) = (unit / runs, unit % runs * run)
      let part = first..<min(length, first + run)
      let target = pixels + image * area * stride
      if operands.window.isPointwise {
        decant_transpose(
          operands.images + (image * length + first) * area, area, part.count, area,
          target + first, stride)
      } else {
        for column in Swift.stride(from: 0, to: area, by: panel) {
          let columns = column..<min(area, column + panel)
          operands.packPixels(image: image, part, columns, into: words32(scratch))
          decant_transpose(
            scratch, panel, part.count, columns.count, target + column * stride + first, stride)
        }
      }
      if part.upperBound < length { return }
      for column in 0..<area {
        (target + column * stride + length).update(repeating: 0, count: stride - length)
      }
    }
  }

  /// Rows of weights in a format that the kernel reads.
  private enum Rows {
    case float32(Matrix)
    case float16(UnsafePointer<UInt16>, stride: Int)
  }

  private func withRows(
    _ rows: Range<Int>, _ part: Range<Int>, scratch: UnsafeMutablePointer<Float>,
    _ body: (Rows) -> Void
  ) {
    let weight = operands.weight
    // Without an instruction that widens float16, the rows are widened once for all pixels.
    if decant_simd_level() > 0 {
      let inPlace: Void? = weight.withHalvesInPlace(rows: rows) { span in
        span.withUnsafeBufferPointer { buffer in
          guard let base = buffer.baseAddress else { return }
          body(.float16(base + part.lowerBound, stride: weight.shape.rowLength))
        }
      }
      if inPlace != nil { return }
    }
    weight.withMatrix(rows: rows, columns: part, scratch: scratch) { body(.float32($0)) }
  }

  private func multiply(
    _ weights: Rows, by pixels: UnsafePointer<Float>, rows: Range<Int>, part: Range<Int>,
    place: Int, ahead next: (rows: Range<Int>, part: Range<Int>),
    into target: UnsafeMutablePointer<Float>
  ) {
    let isLast = part.upperBound == operands.length
    var ahead = operands.weight.ahead(rows: next.rows, columns: next.part)
    withOptional(isLast ? operands.bias : nil, from: rows.lowerBound) { bias in
      var product = decant_product(
        c: target, stride: area, rows: rows.count, columns: area, bias: bias,
        residual: isLast ? operands.residual.map { $0 + place } : nil,
        keep: part.lowerBound == 0 ? 0 : 1)
      switch weights {
      case .float32(let matrix):
        decant_inner_f32(
          matrix.base, matrix.stride, pixels, stride, part.count, &product, &ahead)
      case .float16(let base, let rowStride):
        decant_inner_f16(base, rowStride, pixels, stride, part.count, &product, &ahead)
      }
    }
  }
}

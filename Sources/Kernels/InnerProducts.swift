internal import CKernels
internal import Support
internal import Tensors

extension FloatOperands {
  /// The product for `pictures` of `area` pixels, as `multiply` makes it, by the kernel that is the
  /// faster. Which one that is follows from the weights and the extents of one picture: so pictures
  /// give the same bits in any batch.
  func product(pictures: Int, area: Int, gated: Bool, into output: Target) {
    if InnerProduct.isFaster(area: area, length: length) {
      InnerProduct(self, pictures: pictures, area: area, gated: gated).run(into: output)
    } else {
      Kernels.multiply(self, pictures: pictures, area: area, gated: gated, into: output)
    }
  }
}

/// A product for few pixels: inner products of rows of weights, which are read as they lie, and of
/// pixels, each of which has its words side by side.
///
/// Packing weights for the other kernel costs as much as the products of some 11 pixels, and it
/// computes columns in 16s. Here the lanes of a vector must be added up, which is a share that is the
/// smaller the longer the sum.
private struct InnerProduct {
  /// Words of the sum at a time: some rows of so many, and the pixels of a chunk, stay in a cache of
  /// 1 MB.
  private static let longestPart = 4096
  /// Rows of a tile: a multiple of any instruction set's chunk.
  private static let rowStep = 12
  private static let tallest = 48

  private let operands: FloatOperands
  private let pictures: Int
  private let area: Int
  private let halves: Int
  private let rows: Int
  private let height: Int
  private let parts: [Range<Int>]
  /// Words from one pixel to the next.
  private let stride: Int

  /// As measured with AVX-512 and AVX2: with more pixels packing is a small share, in shorter sums
  /// lanes are added up too often.
  static func isFaster(area: Int, length: Int) -> Bool {
    (1...128).contains(area) && 4 * area <= length
  }

  /// - Parameter gated: as `multiply` has it.
  init(_ operands: FloatOperands, pictures: Int, area: Int, gated: Bool) {
    (self.operands, self.pictures, self.area) = (operands, pictures, area)
    halves = gated ? 2 : 1
    rows = operands.rows / halves
    height = ProductTiles.even(
      rows, min(Self.tallest, max(Self.rowStep, rows / 16)), Self.rowStep)
    parts = ProductTiles.parts(operands.length, longest: Self.longestPart)
    // Whole lines, and an odd number of them: pixels side by side are then in different sets of the
    // caches.
    stride = ((operands.length + 15) / 16 | 1) * 16
  }

  func run(into output: Target) {
    let memory = Scratch.floats(pictures * area * stride)
    defer { Scratch.give(memory) }
    let pixels = Target(base: memory.base)
    layPixels(into: pixels)
    let hiddenWords = halves == 2 ? height * area * pictures : 0
    let widenedWords = height * (parts.first?.count ?? 0)
    let tiles = rows == 0 ? 0 : (rows - 1) / height + 1
    parallel(tiles, scratch: widenedWords + 2 * hiddenWords) { unit, scratch in
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
              // The tiles between are other threads'.
              (self.tile(unit + Threads.count), parts[0])
            }
          withRows(own, part, scratch: scratch) { weights in
            for picture in 0..<pictures {
              let place = picture * rows + tile.lowerBound
              multiply(
                weights, by: pixels + picture * area * stride + part.lowerBound,
                rows: own, part: part, place: place * area,
                // It is asked for once.
                ahead: picture == 0 ? next : (0..<0, part),
                into: halves == 2
                  ? hidden + half * hiddenWords + picture * height * area : output + place * area)
            }
          }
        }
      }
      if halves == 2 {
        for picture in 0..<pictures {
          let values = hidden + picture * height * area
          decant_geglu(
            values, values + hiddenWords, output + (picture * rows + tile.lowerBound) * area,
            tile.count * area)
        }
      }
    }
  }

  /// The rows of a tile in one half; none behind the last.
  private func tile(_ unit: Int, half: Int = 0) -> Range<Int> {
    let top = min(rows, unit * height)
    return half * rows + top..<half * rows + min(rows, top + height)
  }

  /// Each pixel's words side by side, and zeros behind them.
  private func layPixels(into pixels: Target) {
    let (length, panel) = (operands.length, ProductTiles.panelColumns)
    // So many rows of a panel, 16 KB, stay in the first-level cache.
    let run = 128
    let runs = (length - 1) / run + 1
    parallel(pictures * runs, scratch: panel * run) { unit, scratch in
      let (picture, first) = (unit / runs, unit % runs * run)
      let part = first..<min(length, first + run)
      let target = pixels + picture * area * stride
      if operands.window.isPointwise {
        decant_transpose(
          operands.pictures + (picture * length + first) * area, area, part.count, area,
          target + first, stride)
      } else {
        for column in Swift.stride(from: 0, to: area, by: panel) {
          let columns = column..<min(area, column + panel)
          operands.packPixels(picture: picture, part, columns, into: words32(scratch))
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

  /// Rows of weights as the kernel reads them.
  private enum Rows {
    case float32(Matrix)
    case float16(UnsafePointer<UInt16>, stride: Int)
  }

  private func withRows(
    _ rows: Range<Int>, _ part: Range<Int>, scratch: UnsafeMutablePointer<Float>,
    _ body: (Rows) -> Void
  ) {
    let weight = operands.weight
    // Without an instruction for it they are widened once for all pixels.
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

internal import CKernels
internal import Support
internal import Tensors

/// The division of a 3 x 3 convolution of [batch, in, H, W] with padding 1 for the Winograd
/// algorithm F(4 x 4, 3 x 3) (Lavin & Gray, 2016).
struct WinogradPlan {
  private static let points = 36
  /// The output channels that share a pass over the transformed inputs.
  private static let outputsOfUnit = 56
  /// The channels of transformed weights that a unit has in memory: 5 MB.
  private static let longestPart = 640
  /// The channels of 14 rows of weights that are widened and packed at a time: 16 KB.
  private static let channelsAtOnce = 32
  /// The transformed inputs in memory at a time: 24 MB.
  private static let inputsLimit = 6 << 20

  private let batch: Int
  private let channels: Int
  private let outputs: Int
  private let height: Int
  private let width: Int

  /// Returns `nil` where the direct form is faster: for other kernels, few channels, or few tiles.
  /// Only the extents of one image matter, so that an image gives the same bits in any batch.
  init?(x: Shape, weight: Shape, stride: Int, padding: Padding) {
    guard stride == 1, padding == Padding(1), weight[2] == 3, weight[3] == 3, weight[0] >= 16,
      weight[1] >= 16
    else { return nil }
    (batch, channels, height, width, outputs) = (x[0], x[1], x[2], x[3], weight[0])
    // Few tiles fill only part of a vector, and tiles that are half outside waste work.
    guard down * across >= 9, 16 * down * across <= 2 * height * width else { return nil }
  }

  private var down: Int { (height + 3) / 4 }
  private var across: Int { (width + 3) / 4 }
  private var tiles: Int { batch * down * across }

  private func tiling(channels: Int) -> decant_tiling {
    decant_tiling(height: height, width: width, channels: channels, down: down, across: across)
  }

  /// Transforms inputs for a group of tiles, then for each run of outputs transforms weights,
  /// multiplies, and transforms the products back.
  func run(
    _ x: Source, weight: StoredTensor, bias: [Float]?, residual: Source?, into output: Target
  ) {
    let panel = ProductTiles.panelColumns
    let most = max(panel, Self.inputsLimit / (Self.points * channels) / panel * panel)
    let size = ProductTiles.even(tiles, most, panel)
    let inputs = Scratch.floats(Self.points * Self.step(channels * size))
    defer { Scratch.release(inputs) }
    let target = Target(base: inputs.base)
    for first in stride(from: 0, to: tiles, by: size) {
      let group = first..<min(tiles, first + size)
      transformInputs(x, group, into: target)
      multiply(
        Source(base: inputs.base), group, weight: weight, bias: bias, residual: residual,
        into: output)
    }
  }

  /// The distance between the numbers of two points, for `count` numbers a point. A transform
  /// accesses one cache line of each point; the distance keeps these lines in different cache sets.
  private static func step(_ count: Int) -> Int { (count + 1023) / 1024 * 1024 + 16 }

  /// Transforms inputs to [point][panel][channel][32].
  private func transformInputs(_ x: Source, _ group: Range<Int>, into target: Target) {
    let panel = ProductTiles.panelColumns
    let panels = (group.count + panel - 1) / panel
    let run = 32
    let runs = (channels + run - 1) / run
    let tiling = tiling(channels: channels)
    interruptibleParallel(panels * runs) { unit in
      let first = group.lowerBound + unit / runs * panel
      let channel = unit % runs * run
      withUnsafePointer(to: tiling) {
        decant_winograd_input(
          x.base, $0, first, min(panel, group.upperBound - first), channel,
          min(run, channels - channel), target + (unit / runs * channels + channel) * panel,
          Self.step(panels * channels * panel))
      }
    }
  }

  private func multiply(
    _ inputs: Source, _ group: Range<Int>, weight: StoredTensor, bias: [Float]?,
    residual: Source?, into output: Target
  ) {
    let (block, panel) = (ProductTiles.blockRows, ProductTiles.panelColumns)
    let panels = (group.count + panel - 1) / panel
    let rowsOfUnit = ProductTiles.even(outputs, Self.outputsOfUnit, block)
    let longest = ProductTiles.even(channels, Self.longestPart, 16)
    let inputStep = Self.step(panels * channels * panel)
    let sumStep = Self.step(rowsOfUnit * panels * panel)
    let sumsSize = Self.points * sumStep
    let transformedSize = Self.points * Self.step(rowsOfUnit * longest)
    // One row more than needed, because the transform reads and writes whole vectors.
    let packedSize = (Self.channelsAtOnce * 9 + 1) * block + 16
    let tiling = tiling(channels: outputs)
    interruptibleParallel(
      (outputs - 1) / rowsOfUnit + 1, scratch: sumsSize + transformedSize + 16 + 2 * packedSize
    ) { unit, scratch in
      let rows = unit * rowsOfUnit..<min(outputs, (unit + 1) * rowsOfUnit)
      let sums = scratch
      let transformed = sums + sumsSize
      let packed = transformed + transformedSize + 16
      let widened = packed + packedSize
      for part in stride(from: 0, to: channels, by: longest) {
        let count = min(longest, channels - part)
        let step = Self.step(rowsOfUnit * count)
        for first in stride(from: 0, to: rows.count, by: block) {
          let some = rows.lowerBound + first..<min(rows.upperBound, rows.lowerBound + first + block)
          for channel in stride(from: 0, to: count, by: Self.channelsAtOnce) {
            let end = min(count, channel + Self.channelsAtOnce)
            let next = end..<min(count, end + Self.channelsAtOnce)
            weight.prefetch(
              rows: some, columns: (part + next.lowerBound) * 9..<(part + next.upperBound) * 9)
            weight.packBlock(
              some, (part + channel) * 9..<(part + end) * 9, scratch: widened,
              into: UnsafeMutableRawPointer(packed).assumingMemoryBound(to: UInt32.self))
            decant_winograd_weights(
              packed, end - channel, transformed + first * count + channel * block, step)
          }
        }
        for point in 0..<Self.points {
          for index in 0..<panels {
            var product = decant_product(
              c: sums + point * sumStep + index * panel, stride: panels * panel,
              rows: rows.count, columns: min(panel, group.count - index * panel), bias: nil,
              residual: nil, keep: part == 0 ? 0 : 1)
            decant_product_f32(
              transformed + point * step,
              inputs + point * inputStep + (index * channels + part) * panel, count, &product)
          }
        }
      }
      for (index, row) in rows.enumerated() {
        for place in 0..<panels {
          withUnsafePointer(to: tiling) {
            decant_winograd_output(
              sums + (index * panels + place) * panel, sumStep, $0,
              group.lowerBound + place * panel, min(panel, group.count - place * panel), row,
              bias?[row] ?? 0, residual?.base, output.base)
          }
        }
      }
    }
  }
}

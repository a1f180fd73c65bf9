import Kernels
import Tensors
import TestSupport
import Testing

/// `groupNorm` and `layerNorm`.
struct NormalizationTests {
  /// The reference: x is [batch, channels, area]. Layer normalization is the case of area 1 with
  /// one group.
  private func reference(
    _ x: [Float], batch: Int, channels: Int, groups: Int, scale: [Float], bias: [Float],
    epsilon: Float, silu: Bool = false
  ) -> [Double] {
    let area = x.count / (batch * channels)
    let size = channels / groups * area
    var result = x.map(Double.init)
    for start in stride(from: 0, to: x.count, by: size) {
      let range = start..<start + size
      let mean = x[range].reduce(0.0) { $0 + Double($1) } / Double(size)
      let variance = x[range].reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
      let deviation = (variance / Double(size) + Double(epsilon)).squareRoot()
      for index in range {
        let channel = index / area % channels
        let value = (Double(x[index]) - mean) / deviation * Double(scale[channel])
        result[index] = value + Double(bias[channel])
        if silu { result[index] = referenceSiLU(result[index]) }
      }
    }
    return result
  }

  @Test func groupsOfEverySmallShape() {
    onEveryInstructionSet { level in
      for (channels, groups) in [(1, 1), (2, 1), (2, 2), (6, 2), (6, 3), (8, 8), (64, 32)] {
        for (height, width) in [(1, 2), (3, 5), (4, 4), (7, 9), (16, 17)] {
          for batch in [1, 2] {
            for silu in [false, true] {
              let x = randomTensor([batch, channels, height, width], seed: channels + width)
              let scale = randomTensor([channels], seed: 1).values
              let bias = randomTensor([channels], seed: 2).values
              let found = groupNorm(
                x, groups: groups, scale: scale, bias: bias, epsilon: 1e-5, silu: silu)
              let expected = reference(
                x.values, batch: batch, channels: channels, groups: groups, scale: scale,
                bias: bias, epsilon: 1e-5, silu: silu)
              let distance = error(found.values, expected)
              #expect(found.shape == x.shape)
              #expect(
                distance < Tolerance.normalization,
                "level \(level), \(x.shape) in \(groups), silu \(silu): \(distance)")
            }
          }
        }
      }
    }
  }

  @Test func rowsOfEveryLength() {
    onEveryInstructionSet { level in
      for features in Array(2...40) + [320, 768, 1280] {
        // Long rows too, which are processed in runs of 144 and of 256.
        for rows in [1, 3, 130] + (features % 20 == 9 ? [1200, 2100] : []) {
          let x = randomTensor([rows, features], seed: features)
          let scale = randomTensor([features], seed: 1).values
          let bias = randomTensor([features], seed: 2).values
          let found = ofRows(x, scale: scale, bias: bias, epsilon: 1e-5)
          let expected = (0..<rows).flatMap { row in
            reference(
              Array(x.values[row * features..<(row + 1) * features]), batch: 1, channels: features,
              groups: 1, scale: scale, bias: bias, epsilon: 1e-5)
          }
          let distance = error(found.values, expected)
          #expect(
            distance < Tolerance.normalization, "level \(level), \(x.shape): \(distance)")
        }
      }
    }
  }

  /// Mean 1000 and standard deviation 0.6: sums in float32 would keep only three digits.
  @Test func numbersFarFromZeroKeepTheirAccuracy() {
    let x = randomTensor([1, 4, 40, 40], seed: 1)
    let far = Tensor(shape: x.shape, values: x.values.map { $0 + 1000 })
    let scale: [Float] = [1, 2, 3, 4]
    let bias: [Float] = [4, 3, 2, 1]
    let groups = groupNorm(far, groups: 2, scale: scale, bias: bias, epsilon: 1e-6)
    let expected = reference(
      far.values, batch: 1, channels: 4, groups: 2, scale: scale, bias: bias, epsilon: 1e-6)
    #expect(error(groups.values, expected) < Tolerance.normalization)

    let row = far.reshaped([1, far.shape.count])
    let ones = [Float](repeating: 1, count: far.shape.count)
    let layer = ofRows(row, scale: ones, bias: ones, epsilon: 1e-6)
    let expectedRow = reference(
      row.values, batch: 1, channels: row.shape.count, groups: 1, scale: ones, bias: ones,
      epsilon: 1e-6)
    #expect(error(layer.values, expectedRow) < Tolerance.normalization)
  }

  @Test func equalNumbersGiveTheBias() {
    let x = Tensor(shape: [1, 2, 3, 3], values: [Float](repeating: 0.1, count: 18))
    let found = groupNorm(x, groups: 1, scale: [5, 5], bias: [1, -2], epsilon: 1e-6)
    // Sums of 18 equal float32 numbers and of their squares are exact in float64.
    let expected = [Float](repeating: 1, count: 9) + [Float](repeating: -2, count: 9)
    #expect(found.values == expected)
  }

  @Test func acceptsEveryRank() {
    let x = randomTensor([2, 6, 20], seed: 1)
    let scale = [Float](repeating: 1, count: 6)
    let found = groupNorm(x, groups: 3, scale: scale, bias: scale, epsilon: 1e-5)
    let square = groupNorm(
      x.reshaped([2, 6, 4, 5]), groups: 3, scale: scale, bias: scale, epsilon: 1e-5)
    #expect(found.shape == x.shape)
    #expect(error(found.values, square.values.map(Double.init)) < Tolerance.normalization)
  }

  @Test func threadsDoNotMatter() {
    let x = randomTensor([2, 64, 30, 31], seed: 1)
    let ones = [Float](repeating: 1, count: 64)
    let groups = onEveryThreadCount {
      groupNorm(x, groups: 32, scale: ones, bias: ones, epsilon: 1e-5, silu: true)
    }
    #expect(groups[0] == groups[1] && groups[0] == groups[2])
    let rows = x.reshaped([x.shape.count / 64, 64])
    let layers = onEveryThreadCount { ofRows(rows, scale: ones, bias: ones, epsilon: 1e-5) }
    #expect(layers[0] == layers[1] && layers[0] == layers[2])
  }

  /// `layerNorm` for rows.
  private func ofRows(
    _ x: Tensor, scale: [Float], bias: [Float], epsilon: Float
  ) -> Tensor {
    let planes = transposed(x.reshaped([1, x.shape.count / scale.count, scale.count]))
    return transposed(layerNorm(planes, scale: scale, bias: bias, epsilon: epsilon))
      .reshaped(x.shape)
  }
}

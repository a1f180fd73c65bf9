import CKernels
import Kernels
import Support
import Tensors
import TestSupport
import Testing

/// `convolve` and `project` with int8 weights.
struct Int8Tests {
  /// The reference: pixels rounded as the kernel documents, integer sums, and two products.
  private func reference(
    _ x: Tensor, _ weight: StoredTensor, stride: Int, padding: Padding, perPixel: Bool
  ) -> [Double] {
    let (batch, channels, height, width) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    let w = weight.shape
    let numbers = weight.floats()
    var rounded = [Double](repeating: 0, count: x.shape.count)
    let area = height * width
    for image in 0..<batch {
      let runs = perPixel ? (0..<area).map { $0..<$0 + 1 } : [0..<area]
      for run in runs {
        let places = (0..<channels).flatMap { channel in
          run.map { (image * channels + channel) * area + $0 }
        }
        let low = places.reduce(Float(0)) { min($0, x.values[$1]) }
        let high = places.reduce(Float(0)) { max($0, x.values[$1]) }
        let scale = (high - low) / 255
        if !scale.isNormal { continue }
        let zero = (-low / scale).rounded(.toNearestOrEven)
        for place in places {
          let code = min(255, max(0, x.values[place] * (1 / scale) + zero))
          rounded[place] = Double((code.rounded(.toNearestOrEven) - zero) * 1) * Double(scale)
        }
      }
    }
    let outHeight = (height + padding.top + padding.bottom - w[2]) / stride + 1
    let outWidth = (width + padding.left + padding.right - w[3]) / stride + 1
    var values: [Double] = []
    for b in 0..<batch {
      for o in 0..<w[0] {
        for y in 0..<outHeight {
          for column in 0..<outWidth {
            var sum = 0.0
            for c in 0..<channels {
              for i in 0..<w[2] {
                for j in 0..<w[3] {
                  let (row, left) = (
                    y * stride + i - padding.top, column * stride + j - padding.left
                  )
                  guard (0..<height).contains(row), (0..<width).contains(left) else { continue }
                  sum +=
                    rounded[((b * channels + c) * height + row) * width + left]
                    * Double(numbers[((o * channels + c) * w[2] + i) * w[3] + j])
                }
              }
            }
            values.append(sum)
          }
        }
      }
    }
    return values
  }

  private func check(
    _ x: Shape, _ w: Shape, stride: Int = 1, padding: Padding = Padding(1)
  ) {
    let images = randomTensor(x, seed: x.count)
    let weight = randomWeights(w, .int8, seed: w.count)
    let perPixel = w[2] * w[3] == 1
    let padding = perPixel ? Padding(0) : padding
    let expected = reference(
      images, weight, stride: stride, padding: padding, perPixel: perPixel)
    var first: Tensor?
    onEveryInstructionSet { level in
      let found = convolve(
        images, weight: Int8Weight(weight), bias: nil, stride: stride, padding: padding)
      let distance = error(found.values, expected, floor: 0.1)
      #expect(distance < Tolerance.sums, "level \(level): \(x), \(w): \(distance)")
      // Every instruction set gives the same bits.
      if let first { #expect(found == first, "level \(level): \(x), \(w)") }
      first = found
    }
  }

  @Test func everySmallShape() {
    for channels in [1, 3, 4, 5, 8, 18] {
      for outputs in [1, 2, 7, 14, 15, 29] {
        check([1, channels, 5, 7], [outputs, channels, 1, 1])
      }
      for (height, width) in [(1, 1), (2, 3), (5, 4), (6, 7)] {
        check([2, channels, height, width], [3, channels, 3, 3])
        check([2, channels, height, width], [9, channels, 3, 3], stride: 2)
        check(
          [1, channels, height + 1, width + 1], [2, channels, 3, 3], stride: 2,
          padding: Padding(top: 0, left: 0, bottom: 1, right: 1))
      }
    }
  }

  /// Several parts of the sum, and panels of every width.
  @Test func shapesOfSeveralTiles() {
    check([1, 1100, 5, 9], [20, 1100, 1, 1])
    check([1, 5300, 5, 9], [340, 5300, 1, 1])
    check([1, 600, 5, 9], [17, 600, 3, 3])
    check([1, 19, 30, 70], [16, 19, 1, 1])
    check([1, 19, 24, 25], [3, 19, 3, 3])
    check([2, 130, 9, 11], [31, 130, 3, 3])
    for width in 1...33 { check([1, 9, 1, width], [16, 9, 1, 1]) }
  }

  @Test func otherEncodingsAreRoundedToNearest() {
    let weights = randomTensor([20, 70], seed: 1)
    let x = randomTensor([1, 70, 12], seed: 2)
    var codes: [Int8] = []
    var scales: [Float] = []
    for row in 0..<20 {
      let numbers = weights.values[row * 70..<(row + 1) * 70]
      let scale = (numbers.map { abs($0) }.max() ?? 0) / 127
      scales.append(scale)
      codes += numbers.map { Int8(($0 / scale).rounded(.toNearestOrEven)) }
    }
    let stored = StoredTensor(
      shape: weights.shape, encoding: .int8, parts: [ByteSlice(codes), ByteSlice(scales)])
    let found = project(x, weight: Int8Weight(StoredTensor(weights)), bias: nil)
    #expect(found == project(x, weight: Int8Weight(stored), bias: nil))
  }

  @Test func zerosGiveTheBias() {
    let x = Tensor(zeros: [1, 8, 4, 4])
    let weight = Int8Weight(randomWeights([3, 8, 3, 3], .int8, seed: 1))
    let found = convolve(x, weight: weight, bias: [1, -2, 0.5])
    #expect(found.values == [1, -2, 0.5].flatMap { [Float](repeating: $0, count: 16) })
    let none = Int8Weight(StoredTensor(Tensor(zeros: [2, 8])))
    let zeros = project(randomTensor([1, 8, 3], seed: 1), weight: none, bias: nil)
    #expect(zeros.values.allSatisfy { $0 == 0 })
  }

  @Test(arguments: [40, 5300])
  func gatesAndResiduals(inputs: Int) {
    let x = randomTensor([2, inputs, 70], seed: 1)
    let stored = randomWeights([60, inputs], .int8, seed: 2)
    let weight = Int8Weight(stored)
    let bias = randomTensor([60], seed: 3).values
    let plain = project(x, weight: weight, bias: bias)
    let gated = project(x, weight: Int8Weight(stored, gated: true), bias: bias)
    let expected = transposed(geglu(transposed(plain)))
    #expect(error(gated.values, expected.values.map(Double.init)) < Tolerance.functions)
    let residual = randomTensor([2, 60, 70], seed: 4)
    let added = project(x, weight: weight, bias: bias, residual: residual)
    #expect(added.values == zip(plain.values, residual.values).map { $0 + $1 })
  }

  /// Different code finishes complete and partial chunks. The bits are the same.
  @Test func biasAndResidualOnEveryInstructionSet() {
    // A file may have a negative scale. Its zeros are negative before a bias is added.
    for (rows, tokens) in [(28, 64), (12, 32), (17, 45), (3, 16)] {
      var stored = randomWeights([rows, 40], .int8, seed: rows)
      let scales = (0..<rows).map { $0 == 0 ? -0.5 : Float(0.25) }
      stored = StoredTensor(
        shape: stored.shape, encoding: .int8, parts: [stored.parts[0], ByteSlice(scales)])
      let weight = Int8Weight(stored)
      var x = randomTensor([1, 40, tokens], seed: tokens)
      // A pixel of zeros: each of its sums is 0.
      for channel in 0..<40 { x.values[channel * tokens] = 0 }
      let residual = randomTensor([1, rows, tokens], seed: 4)
      for bias in [nil, randomTensor([rows], seed: 3).values] {
        for added in [nil, residual] {
          var first: [UInt32]?
          onEveryInstructionSet { level in
            let found = project(x, weight: weight, bias: bias, residual: added).values
              .map(\.bitPattern)
            if let first { #expect(found == first, "level \(level): \(rows) x \(tokens)") }
            first = found
          }
        }
      }
    }
  }

  /// Ranges without a usable scale. Numbers that are not finite, or overflow, make their pixel NaN,
  /// or their image if windows combine pixels. Numbers that are too small to divide by become zero.
  @Test(arguments: [Float.infinity, -.infinity, .nan, -.greatestFiniteMagnitude])
  func rangesWithoutAScale(_ number: Float) {
    // A channel in a complete run, and one in the remainder.
    let (channels, rows) = (10, 16)
    let weight = Int8Weight(randomWeights([rows, channels], .int8, seed: 1))
    let window = Int8Weight(randomWeights([rows, channels, 3, 3], .int8, seed: 2))
    for channel in [2, 9] {
      var x = randomTensor([1, channels, 4, 4], seed: 3)
      for other in 0..<channels {
        x.values[other * 16 + 1] = 0x1p-140
        x.values[other * 16 + 2] = 3
      }
      x.values[channel * 16 + 5] = number
      // With this number, the range of a finite number overflows.
      x.values[5 * 16 + 5] = .greatestFiniteMagnitude
      onEveryInstructionSet { level in
        let tokens = project(x, weight: weight, bias: nil).values
        for row in 0..<rows {
          for pixel in 0..<16 {
            #expect(tokens[row * 16 + pixel].isNaN == (pixel == 5), "level \(level)")
          }
          #expect(tokens[row * 16 + 1] == 0)
          #expect(tokens[row * 16 + 2] != 0)
        }
        let mixed = convolve(x, weight: window, bias: nil)
        #expect(mixed.values.allSatisfy { $0.isNaN }, "level \(level)")
      }
    }
  }

  @Test func threadsDoNotMatter() {
    let x = randomTensor([2, 70, 24, 25], seed: 1)
    let weight = Int8Weight(randomWeights([90, 70, 3, 3], .int8, seed: 2))
    let found = onEveryThreadCount { convolve(x, weight: weight, bias: nil) }
    #expect(found[0] == found[1] && found[0] == found[2])
  }
}

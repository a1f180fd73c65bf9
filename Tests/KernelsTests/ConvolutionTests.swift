import Kernels
import Tensors
import TestSupport
import Testing

/// `convolve`.
struct ConvolutionTests {
  /// The reference, in float64.
  private func reference(
    _ x: Tensor, _ w: Tensor, _ bias: [Float]?, stride: Int, padding: Padding
  ) -> (Shape, [Double]) {
    let (channels, height, width) = (x.shape[1], x.shape[2], x.shape[3])
    let (kernelHeight, kernelWidth) = (w.shape[2], w.shape[3])
    let outHeight = (height + padding.top + padding.bottom - kernelHeight) / stride + 1
    let outWidth = (width + padding.left + padding.right - kernelWidth) / stride + 1
    var values: [Double] = []
    for b in 0..<x.shape[0] {
      for o in 0..<w.shape[0] {
        for y in 0..<outHeight {
          for column in 0..<outWidth {
            var sum = Double(bias?[o] ?? 0)
            for i in 0..<kernelHeight {
              let sourceY = y * stride + i - padding.top
              guard (0..<height).contains(sourceY) else { continue }
              for j in 0..<kernelWidth {
                let sourceX = column * stride + j - padding.left
                guard (0..<width).contains(sourceX) else { continue }
                for c in 0..<channels {
                  let pixel = x.values[((b * channels + c) * height + sourceY) * width + sourceX]
                  let weight = w.values[((o * channels + c) * kernelHeight + i) * kernelWidth + j]
                  sum += Double(pixel) * Double(weight)
                }
              }
            }
            values.append(sum)
          }
        }
      }
    }
    return ([x.shape[0], w.shape[0], outHeight, outWidth], values)
  }

  private func check(
    _ x: Shape, _ w: Shape, stride: Int = 1, padding: Padding = Padding(1), bias: Bool = true,
    winograd: Bool = false, tolerance: Double = Tolerance.sums
  ) {
    let images = randomTensor(x, seed: x.count)
    let weights = randomTensor(w, seed: w.count)
    let bias = bias ? randomTensor([w[0]], seed: 7).values : nil
    let found = convolve(
      images, weight: StoredTensor(weights), bias: bias, stride: stride, padding: padding,
      winograd: winograd)
    let (shape, expected) = reference(images, weights, bias, stride: stride, padding: padding)
    let distance = error(found.values, expected, floor: 0.1)
    #expect(found.shape == shape)
    #expect(distance < tolerance, "\(x), \(w), \(stride), \(padding): \(distance)")
  }

  private let paddings = [
    Padding(0), Padding(1), Padding(2), Padding(top: 0, left: 0, bottom: 1, right: 1),
    Padding(top: 3, left: 0, bottom: 0, right: 2),
  ]

  @Test(arguments: [(1, 1), (3, 3), (2, 3), (5, 4), (7, 7)])
  func everySmallImage(kernelHeight: Int, kernelWidth: Int) {
    for (batch, channels, outputs) in [(1, 1, 1), (2, 3, 2)] {
      for height in [1, 2, 3, 4, 7] {
        for width in [1, 2, 3, 5, 8] {
          for padding in paddings {
            for stride in 1...3
            where height + padding.top + padding.bottom >= kernelHeight
              && width + padding.left + padding.right >= kernelWidth
            {
              check(
                [batch, channels, height, width], [outputs, channels, kernelHeight, kernelWidth],
                stride: stride, padding: padding, bias: stride != 2)
            }
          }
        }
      }
    }
  }

  /// Several tiles in both directions, several parts of the sum, and tiles across the border
  /// between two images.
  @Test func imagesOfSeveralTiles() {
    check([2, 150, 19, 21], [37, 150, 3, 3])
    check([3, 5, 16, 16], [340, 5, 3, 3])
    check(
      [2, 9, 40, 23], [6, 9, 3, 3], stride: 2,
      padding: Padding(top: 0, left: 0, bottom: 1, right: 1))
    check([1, 40, 31, 33], [18, 40, 1, 1], padding: Padding(0))
    check([2, 1160, 5, 6], [18, 1160, 1, 1], padding: Padding(0))
    check([2, 1400, 12, 13], [18, 1400, 1, 1], padding: Padding(0))
    check([1, 70, 9, 9], [4, 70, 1, 1], stride: 2, padding: Padding(0))
  }

  /// Every height and width of the last tile, images across the end of a panel, and channels across
  /// the end of a block and of a part.
  @Test func winograd() {
    for height in 9...17 {
      check(
        [2, 16, height, height + 3], [17, 16, 3, 3], bias: height % 2 == 0, winograd: true,
        tolerance: Tolerance.winograd)
    }
    for (x, outputs) in [
      ([1, 70, 40, 44], 57), ([3, 661, 12, 16], 16), ([1, 17, 100, 67], 30),
      ([5, 18, 16, 16], 113),
    ] as [([Int], Int)] {
      check(
        Shape(x), [outputs, x[1], 3, 3], winograd: true, tolerance: Tolerance.winograd)
    }
  }

  /// Few pixels under a window, in several panels and a partial one.
  @Test func smallImagesOnEveryInstructionSet() {
    onEveryInstructionSet { _ in
      check([2, 40, 8, 8], [30, 40, 3, 3])
      check([2, 41, 9, 7], [13, 41, 3, 3])
      check([1, 60, 16, 16], [14, 60, 3, 3], stride: 2)
    }
  }

  @Test func residualsOfSmallImages() {
    let x = randomTensor([2, 40, 8, 8], seed: 1)
    let residual = randomTensor([2, 30, 8, 8], seed: 3)
    for encoding in weightEncodings {
      let w = randomWeights([30, 40, 3, 3], encoding, seed: 2)
      let plain = convolve(x, weight: w, bias: nil)
      #expect(plain == convolve(x, weight: StoredTensor(w.widened()), bias: nil))
      let found = onEveryThreadCount { convolve(x, weight: w, bias: nil, residual: residual) }
      #expect(found[0] == found[1] && found[0] == found[2])
      let expected = zip(plain.values, residual.values).map { Double($0) + Double($1) }
      #expect(error(found[0].values, expected) < Tolerance.sums)
      let first = Tensor(shape: [1, 40, 8, 8], values: Array(x.values[..<2560]))
      let alone = convolve(first, weight: w, bias: nil)
      #expect(alone.values[...] == plain.values[..<1920])
    }
  }

  /// Images with and without the Winograd algorithm.
  @Test(arguments: [8, 12, 17])
  func otherImagesDoNotMatter(side: Int) {
    let x = randomTensor([3, 20, side, side], seed: 1)
    let w = StoredTensor(randomTensor([18, 20, 3, 3], seed: 2))
    let together = convolve(x, weight: w, bias: nil, winograd: true)
    let (inputs, outputs) = (20 * side * side, 18 * side * side)
    for image in 0..<3 {
      let one = Tensor(
        shape: [1, 20, side, side],
        values: Array(x.values[image * inputs..<(image + 1) * inputs]))
      let alone = convolve(one, weight: w, bias: nil, winograd: true)
      #expect(alone.values[...] == together.values[image * outputs..<(image + 1) * outputs])
    }
  }

  @Test func winogradOnEveryInstructionSet() {
    onEveryInstructionSet { _ in
      check([1, 33, 20, 31], [30, 33, 3, 3], winograd: true, tolerance: Tolerance.winograd)
    }
  }

  @Test func biasAndResidual() {
    let x = randomTensor([2, 20, 24, 21], seed: 1)
    let w = StoredTensor(randomTensor([18, 20, 3, 3], seed: 2))
    let residual = randomTensor([2, 18, 24, 21], seed: 3)
    for winograd in [false, true] {
      let plain = convolve(x, weight: w, bias: nil, winograd: winograd)
      let found = convolve(x, weight: w, bias: nil, residual: residual, winograd: winograd)
      let expected = zip(plain.values, residual.values).map { Double($0) + Double($1) }
      #expect(error(found.values, expected) < Tolerance.sums)
    }
  }

  @Test(arguments: weightEncodings)
  func encodingsGiveTheResultsOfWidenedWeights(_ encoding: TensorEncoding) {
    let x = randomTensor([2, 131, 9, 15], seed: 1)
    for shape in [[20, 131, 3, 3], [20, 131, 1, 1]] as [Shape] {
      let weights = randomWeights(shape, encoding, seed: 2)
      let bias = randomTensor([20], seed: 3).values
      for winograd in [false, true] {
        let found = convolve(x, weight: weights, bias: bias, winograd: winograd)
        let expected = convolve(
          x, weight: StoredTensor(weights.widened()), bias: bias, winograd: winograd)
        #expect(found == expected)
      }
    }
  }

  @Test func threadsDoNotMatter() {
    let x = randomTensor([2, 20, 24, 25], seed: 1)
    for shape in [[70, 20, 3, 3], [70, 20, 1, 1]] as [Shape] {
      let weights = randomWeights(shape, .plain(.f16), seed: 2)
      let found = onEveryThreadCount {
        convolve(x, weight: weights, bias: nil, padding: Padding(0))
      }
      #expect(found[0] == found[1] && found[0] == found[2])
      let winograds = onEveryThreadCount {
        convolve(x, weight: weights, bias: nil, winograd: true)
      }
      #expect(winograds[0] == winograds[1] && winograds[0] == winograds[2])
    }
  }
}

import CKernels
import Kernels
import Support
import Tensors
import TestSupport
import Testing

/// Products for few pixels, with unpacked weights.
struct InnerProductTests {
  /// The results of the kernel for `rows` x `columns`, and one number after them, which must not
  /// change.
  private func found(
    _ weights: [Float], halves: [UInt16]?, _ pixels: [Float], rows: Int, columns: Int, k: Int,
    bias: [Float], residual: [Float], keep: [Float]?
  ) -> [Float] {
    // The strides exceed the lengths by three numbers for weights and by a vector for pixels.
    let (stride, pixelStride) = (k + 3, (k + 15) / 16 * 16 + 16)
    var result = keep ?? [Float](repeating: .nan, count: rows * columns)
    result.append(7)
    var ahead = decant_ahead(bytes: nil, stride: 0, rows: 0, count: 0)
    result.withUnsafeMutableBufferPointer { result in
      bias.withUnsafeBufferPointer { bias in
        residual.withUnsafeBufferPointer { residual in
          var product = decant_product(
            c: result.baseAddress, stride: columns, rows: rows, columns: columns,
            bias: bias.baseAddress, residual: residual.baseAddress, keep: keep == nil ? 0 : 1)
          if let halves {
            decant_inner_f16(halves, stride, pixels, pixelStride, k, &product, &ahead)
          } else {
            decant_inner_f32(weights, stride, pixels, pixelStride, k, &product, &ahead)
          }
        }
      }
    }
    return result
  }

  @Test func everyTail() {
    onEveryInstructionSet { level in
      for (rows, columns) in (1...7).flatMap({ rows in (1...17).map { (rows, $0) } }) {
        for k in [1, 3, 4, 7, 8, 15, 16, 17, 33, 70] {
          var numbers = Numbers(seed: rows * 1000 + columns * 100 + k)
          // Numbers between rows must not be read, except for the zeros that pad pixels.
          var weights = [Float](repeating: .nan, count: rows * (k + 3))
          for row in 0..<rows {
            for step in 0..<k { weights[row * (k + 3) + step] = Float(Float16(numbers.float())) }
          }
          let halves = weights.map { Float16($0).bitPattern }
          let (filled, pixelStride) = ((k + 15) / 16 * 16, (k + 15) / 16 * 16 + 16)
          var pixels = [Float](repeating: .nan, count: columns * pixelStride)
          for place in 0..<columns * filled {
            let (column, step) = (place / filled, place % filled)
            pixels[column * pixelStride + step] = step < k ? numbers.float() : 0
          }
          let bias = numbers.floats(rows)
          let residual = numbers.floats(rows * columns)
          for keep in [nil, numbers.floats(rows * columns)] {
            let expected = (0..<rows * columns).map { place in
              let (row, column) = (place / columns, place % columns)
              let added = Double(bias[row]) + Double(residual[place]) + Double(keep?[place] ?? 0)
              return (0..<k).reduce(added) {
                $0 + Double(weights[row * (k + 3) + $1])
                  * Double(pixels[column * pixelStride + $1])
              }
            }
            let floats = found(
              weights, halves: nil, pixels, rows: rows, columns: columns, k: k, bias: bias,
              residual: residual, keep: keep)
            // The terms alone have a root mean square of 0.8 and more.
            let distance = error(Array(floats.dropLast()), expected, floor: 0.5)
            #expect(
              distance < Tolerance.sums && floats.last == 7,
              "level \(level): \(rows) x \(columns) of \(k): \(distance)")
            #expect(
              floats
                == found(
                  weights, halves: halves, pixels, rows: rows, columns: columns, k: k, bias: bias,
                  residual: residual, keep: keep),
              "level \(level): halves, \(rows) x \(columns) of \(k)")
          }
        }
      }
    }
  }

  /// Token counts around the kernel's limit, and sums long enough to be split into parts.
  @Test(arguments: [
    (1, 320, 50), (77, 768, 100), (78, 310, 20), (128, 1030, 30), (129, 1030, 30), (5, 9001, 37),
  ])
  func projections(tokens: Int, inputs: Int, outputs: Int) {
    let x = randomTensor([2, inputs, tokens], seed: 1)
    let w = randomTensor([outputs, inputs], seed: 2)
    let bias = randomTensor([outputs], seed: 3).values
    let residual = randomTensor([2, outputs, tokens], seed: 4)
    let expected = (0..<residual.shape.count).map { place in
      let (row, token) = (place / tokens, place % tokens)
      let start = row / outputs * inputs
      return (0..<inputs).reduce(Double(bias[row % outputs]) + Double(residual.values[place])) {
        $0 + Double(w.values[row % outputs * inputs + $1])
          * Double(x.values[(start + $1) * tokens + token])
      }
    }
    onEveryInstructionSet { level in
      let found = project(x, weight: StoredTensor(w), bias: bias, residual: residual)
      #expect(error(found.values, expected) < Tolerance.sums, "level \(level)")
    }
  }

  @Test(arguments: weightEncodings, [321, 4500])
  func encodingsGiveTheResultsOfWidenedWeights(_ encoding: TensorEncoding, inputs: Int) {
    let x = randomTensor([1, inputs, 9], seed: 1)
    let weights = randomWeights([50, inputs], encoding, seed: 2)
    onEveryInstructionSet { level in
      let found = project(x, weight: weights, bias: nil)
      let expected = project(x, weight: StoredTensor(weights.widened()), bias: nil)
      #expect(found == expected, "level \(level)")
    }
  }

  @Test(arguments: [ElementKind.f32, .f16])
  func misalignedWeightsAreRead(_ kind: ElementKind) {
    let x = randomTensor([1, 40, 3], seed: 1)
    let w = randomWeights([20, 40], .plain(kind), seed: 2)
    let bytes = [0] + w.parts[0].array
    let weights = StoredTensor(
      shape: w.shape, encoding: w.encoding, parts: [ByteSlice(bytes)[1..<bytes.count]])
    #expect(project(x, weight: weights, bias: nil) == project(x, weight: w, bias: nil))
  }

  @Test(arguments: [400, 4500])
  func gatesAreThoseOfGEGLU(inputs: Int) {
    let (outputs, tokens) = (130, 70)
    let x = randomTensor([2, inputs, tokens], seed: 1)
    let w = StoredTensor(randomTensor([2 * outputs, inputs], seed: 2))
    let bias = randomTensor([2 * outputs], seed: 3).values
    let found = project(x, weight: w, bias: bias, gated: true)
    let expected = transposed(geglu(transposed(project(x, weight: w, bias: bias))))
    #expect(found.shape == [2, outputs, tokens])
    #expect(error(found.values, expected.values.map(Double.init)) < Tolerance.sums)
  }

  @Test func neitherThreadsNorOtherImagesMatter() {
    let x = randomTensor([3, 500, 40], seed: 1)
    let weights = randomWeights([300, 500], .plain(.f16), seed: 2)
    for gated in [false, true] {
      let found = onEveryThreadCount { project(x, weight: weights, bias: nil, gated: gated) }
      #expect(found[0] == found[1] && found[0] == found[2])
      for image in 0..<3 {
        let one = Tensor(
          shape: [1, 500, 40], values: Array(x.values[image * 20000..<(image + 1) * 20000]))
        let alone = project(one, weight: weights, bias: nil, gated: gated)
        let count = alone.values.count
        #expect(alone.values[...] == found[0].values[image * count..<(image + 1) * count])
      }
    }
  }

  /// The scratch memory of pixels may contain any numbers.
  @Test func pixelsArePaddedWithZeros() {
    onEveryInstructionSet { level in
      for (inputs, value) in [(350, Float.nan), (340, 1)] {
        let x = Tensor(shape: [1, inputs, 9], values: Array(repeating: value, count: 9 * inputs))
        let ones = Tensor(shape: [5, inputs], values: Array(repeating: 1, count: 5 * inputs))
        let found = project(x, weight: StoredTensor(ones), bias: nil)
        #expect(
          found.values.allSatisfy { value.isNaN ? $0.isNaN : $0 == Float(inputs) }, "level \(level)"
        )
      }
    }
  }

  /// A number that is not finite affects only the results of its pixel.
  @Test func nonfiniteNumbersAffectTheirPixelOnly() {
    var x = randomTensor([1, 100, 5], seed: 1)
    x.values[99 * 5 + 2] = .infinity
    x.values[3 * 5 + 4] = .nan
    let w = StoredTensor(randomTensor([13, 100], seed: 2))
    onEveryInstructionSet { level in
      let found = project(x, weight: w, bias: nil)
      for (place, value) in found.values.enumerated() {
        #expect(value.isFinite == ![2, 4].contains(place % 5), "level \(level), \(place)")
      }
    }
  }
}

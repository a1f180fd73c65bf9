import Kernels
import Tensors
import Testing

/// Rows of inputs, multiplied with the weights, are the layer's outputs.
struct InputRowsTests {
  private static let cases: [(geometry: InputGeometry, size: (Int, Int))] = [
    (InputGeometry(kernel: 3, stride: 1, paddingBefore: 1, paddingAfter: 1), (5, 7)),
    (InputGeometry(kernel: 3, stride: 2, paddingBefore: 1, paddingAfter: 1), (6, 9)),
    (InputGeometry(kernel: 3, stride: 2, paddingBefore: 0, paddingAfter: 1), (6, 8)),
    (InputGeometry(kernel: 1), (4, 3)),
  ]

  @Test(arguments: cases.indices)
  func rowsOfAConvolution(index: Int) {
    let (geometry, size) = Self.cases[index]
    let input = randomTensor([3, 4, size.0, size.1], seed: index)
    let weight = randomTensor([2, 4, geometry.kernel, geometry.kernel], seed: 9)
    let output = convolve(
      input, weight: StoredTensor(shape: weight.shape, floats: weight.values, as: .f32), bias: nil,
      stride: geometry.stride,
      padding: Padding(
        top: geometry.paddingBefore, left: geometry.paddingBefore,
        bottom: geometry.paddingAfter, right: geometry.paddingAfter))
    let count = geometry.positions(in: input.shape, of: 3)
    #expect(count == output.shape[2] * output.shape[3])
    let length = weight.shape.rowLength
    for sample in 0..<3 {
      let rows = inputRows(
        of: input, sample: sample, of: 3, at: Array((0..<count).reversed()), geometry: geometry)
      for position in 0..<count {
        let row = rows[(count - 1 - position) * length..<(count - position) * length]
        for channel in 0..<2 {
          let weights = weight.values[channel * length..<(channel + 1) * length]
          let sum = zip(row, weights).reduce(0) { $0 + Double($1.0) * Double($1.1) }
          let found = output.values[(sample * 2 + channel) * count + position]
          #expect(abs(Double(found) - sum) < 1e-4)
        }
      }
    }
  }

  @Test func rowsOfALinearLayer() {
    let input = randomTensor([6, 5], seed: 1)
    let geometry = InputGeometry()
    #expect(geometry.positions(in: input.shape, of: 2) == 3)
    let rows = inputRows(of: input, sample: 1, of: 2, at: [2, 0], geometry: geometry)
    #expect(rows == Array(input.values[25..<30] + input.values[15..<20]))
  }
}

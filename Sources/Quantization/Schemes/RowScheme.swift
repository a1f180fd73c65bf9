internal import Support
package import Tensors

/// Int8 codes with a float32 scale for each output channel: the layout that integer matrix products
/// and other int8 formats use.
package struct RowScheme: IntegerScheme {
  package let encoding = TensorEncoding.int8
  package let aliases = ["i8"]
  package let summary = "int8 with a scale per output channel, 1 byte a weight"

  package static let all: [any Scheme] = [RowScheme()]

  package let grid = QuantizationGrid(largestCode: 127, groupSize: nil, scaleKind: .f32)

  package func stored(_ rounded: RoundedWeights, shape: Shape) -> StoredTensor {
    StoredTensor(
      shape: shape, encoding: encoding,
      parts: [ByteSlice(rounded.codes), ByteSlice(rounded.scales)])
  }
}

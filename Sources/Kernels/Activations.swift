private import Foundation
package import Tensors

/// `x * sigmoid(x)`.
package func silu(_ x: consuming Tensor) -> Tensor {
  Tensor(shape: x.shape, values: x.values.map { $0 / (1 + exp(-$0)) })
}

/// `x * Φ(x)` with the exact (erf) normal distribution.
package func gelu(_ x: consuming Tensor) -> Tensor {
  Tensor(shape: x.shape, values: x.values.map { $0 * 0.5 * (1 + erf($0 * Float(0.5).squareRoot())) })
}

/// `x * sigmoid(1.702 x)`.
package func quickGELU(_ x: consuming Tensor) -> Tensor {
  Tensor(shape: x.shape, values: x.values.map { $0 / (1 + exp(-1.702 * $0)) })
}

/// The first half of the last axis times gelu of the second half.
package func geglu(_ x: Tensor) -> Tensor {
  let width = (x.shape.extents.last ?? 0) / 2
  let rows = x.shape.count / max(1, 2 * width)
  return Tensor(shape: Shape(x.shape.extents.dropLast() + [width])) { output in
    for row in 0..<rows {
      for i in 0..<width {
        let gate = x.values[(2 * row + 1) * width + i]
        output.base[row * width + i] =
          x.values[2 * row * width + i] * gate * 0.5 * (1 + erf(gate * Float(0.5).squareRoot()))
      }
    }
  }
}

/// `a + b`, of equal shapes.
package func add(_ a: consuming Tensor, _ b: Tensor) -> Tensor {
  precondition(a.shape == b.shape, "sum of \(a.shape) and \(b.shape)")
  return Tensor(shape: a.shape, values: zip(a.values, b.values).map { $0 + $1 })
}

/// `x` [B, C, H, W] with `bias` [B, C] added to each channel of each picture.
package func addChannelBias(_ x: consuming Tensor, _ bias: Tensor) -> Tensor {
  precondition(
    x.shape.rank == 4 && bias.shape.extents == Array(x.shape.extents[..<2]),
    "sum of \(x.shape) and \(bias.shape)")
  var result = x
  let area = result.shape[2] * result.shape[3]
  for i in result.values.indices { result.values[i] += bias.values[i / area] }
  return result
}

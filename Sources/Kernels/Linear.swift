package import Tensors

/// `x Wᵀ + bias`.
package func linear(_ x: Tensor, weight: StoredTensor, bias: [Float]?) -> Tensor {
  let (outputs, inputs) = (weight.shape.rows, weight.shape.rowLength)
  precondition(x.shape.extents.last == inputs, "\(x.shape) times the transpose of \(weight.shape)")
  let rows = x.shape.count / max(1, inputs)
  let w = weight.floats()
  return Tensor(shape: Shape(x.shape.extents.dropLast() + [outputs])) { output in
    for row in 0..<rows {
      for column in 0..<outputs { output.base[row * outputs + column] = bias?[column] ?? 0 }
    }
    x.values.reading { x in
      w.reading { w in
        multiply(
          Matrix(base: x.base, stride: inputs),
          Matrix(base: w.base, stride: inputs, transposed: true), into: output.base,
          stride: outputs, m: rows, n: outputs, k: inputs, keep: 1)
      }
    }
  }
}

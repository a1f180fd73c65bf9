package import Tensors

/// `x Wᵀ + bias`: a fully connected layer, as torch.nn.functional.linear.
///
/// Weights that are not stored as float32 are widened a tile at a time, so memory beside the
/// result is bounded by a few MB a thread; and give exactly what their widened values give.
///
/// - Parameters:
///   - x: [..., in].
///   - weight: [out, in], or [out, in, 1, 1], in any encoding that can be widened.
///   - bias: one number for each output.
/// - Returns: [..., out].
package func linear(_ x: Tensor, weight: StoredTensor, bias: [Float]?) -> Tensor {
  let (outputs, inputs) = (weight.shape.rows, weight.shape.rowLength)
  precondition(
    x.shape.extents.last == inputs && inputs > 0 && (bias == nil || bias?.count == outputs),
    "\(x.shape) by the transpose of \(weight.shape) and \(bias?.count ?? outputs) numbers of bias")
  let rows = x.shape.count / inputs
  let shape = Shape(x.shape.extents.dropLast() + [outputs])
  let tiles = Tiles(rows: rows, columns: outputs)
  let sums = sumParts(inputs)
  let scratch = tiles.width * (sums.first?.count ?? 0)
  return x.values.reading { x in
    Tensor(shape: shape) { output in
      parallel(tiles.count, scratch: scratch) { unit, scratch in
        let tile = tiles[unit]
        let corner = output + tile.rows.lowerBound * outputs + tile.columns.lowerBound
        if let bias {
          bias.withUnsafeBufferPointer { bias in
            for row in 0..<tile.rows.count {
              for column in tile.columns {
                corner[row * outputs + column - tile.columns.lowerBound] = bias[column]
              }
            }
          }
        }
        for (index, part) in sums.enumerated() {
          weight.withMatrix(rows: tile.columns, columns: part, scratch: scratch) { weights in
            multiply(
              Matrix(base: x + tile.rows.lowerBound * inputs + part.lowerBound, stride: inputs),
              weights.transpose, into: corner, stride: outputs, m: tile.rows.count,
              n: tile.columns.count, k: part.count, keep: index == 0 && bias == nil ? 0 : 1)
          }
        }
      }
    }
  }
}

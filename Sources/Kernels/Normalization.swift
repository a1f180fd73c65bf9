package import Tensors

/// Group normalization.
package func groupNorm(
  _ x: Tensor, groups: Int, scale: [Float], bias: [Float], epsilon: Float, silu: Bool = false
) -> Tensor {
  let (batch, channels) = (x.shape[0], x.shape[1])
  let area = x.shape.count / max(1, batch * channels)
  var result = x
  let width = channels / groups
  for b in 0..<batch {
    for g in 0..<groups {
      let start = (b * channels + g * width) * area
      let range = start..<start + width * area
      let mean = x.values[range].reduce(0.0) { $0 + Double($1) } / Double(range.count)
      let variance =
        x.values[range].reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
        / Double(range.count)
      let factor = 1 / (variance + Double(epsilon)).squareRoot()
      for i in range {
        let c = g * width + (i - start) / area
        result.values[i] = Float((Double(x.values[i]) - mean) * factor) * scale[c] + bias[c]
      }
    }
  }
  return silu ? Kernels.silu(result) : result
}

/// Layer normalization over the last axis.
package func layerNorm(_ x: Tensor, scale: [Float], bias: [Float], epsilon: Float) -> Tensor {
  let width = scale.count
  return groupNorm(
    x.reshaped([x.shape.count / width, 1, width]), groups: 1, scale: [1], bias: [0],
    epsilon: epsilon
  ).scaled(scale, bias, x.shape)
}

extension Tensor {
  fileprivate func scaled(_ scale: [Float], _ bias: [Float], _ shape: Shape) -> Tensor {
    var result = self.reshaped(shape)
    for i in result.values.indices {
      result.values[i] = result.values[i] * scale[i % scale.count] + bias[i % scale.count]
    }
    return result
  }
}

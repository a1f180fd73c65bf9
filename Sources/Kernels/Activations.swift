private import CKernels
package import Tensors

/// `x * sigmoid(x)`, also called swish, of a tensor of any shape.
package func silu(_ x: consuming Tensor) -> Tensor {
  eachNumber(x, decant_silu)
}

/// `x` times the cumulative distribution function of the normal distribution, of a tensor of any
/// shape: PyTorch's exact `gelu`.
package func gelu(_ x: consuming Tensor) -> Tensor {
  eachNumber(x, decant_gelu)
}

/// `x * sigmoid(1.702 x)`, CLIP's approximation of gelu, of a tensor of any shape.
package func quickGELU(_ x: consuming Tensor) -> Tensor {
  eachNumber(x, decant_quick_gelu)
}

/// `a + b`, of equal shapes.
package func add(_ a: consuming Tensor, _ b: Tensor) -> Tensor {
  precondition(a.shape == b.shape, "sum of \(a.shape) and \(b.shape)")
  let count = a.shape.count
  Profile.timing(.elementwise) {
    a.values.writing { sum in
      b.values.reading { b in
        parallelBlocks(count) { block in
          decant_add(
            sum + block.lowerBound, b + block.lowerBound, sum + block.lowerBound, block.count)
        }
      }
    }
  }
  return a
}

/// Adds `bias` [batch, channels] to each pixel of `x` [batch, channels, height, width]. Residual
/// blocks add the time embedding this way.
package func addChannelBias(_ x: consuming Tensor, _ bias: Tensor) -> Tensor {
  precondition(
    x.shape.rank == 4 && bias.shape.extents == Array(x.shape.extents[..<2]),
    "sum of \(x.shape) and \(bias.shape)")
  let area = x.shape[2] * x.shape[3]
  x.values.writing { values in
    parallelBlocks(bias.shape.count, size: max(1, blockSize / max(1, area))) { block in
      for plane in block {
        let numbers = values + plane * area
        decant_scale_and_shift(numbers, 0, 1, bias.values[plane], numbers, area)
      }
    }
  }
  return x
}

/// Applies an element-wise `function` to `x` in place, block by block.
private func eachNumber(
  _ x: consuming Tensor,
  _ function: @Sendable (UnsafePointer<Float>?, UnsafeMutablePointer<Float>?, Int) -> Void
) -> Tensor {
  let count = x.shape.count
  Profile.timing(.elementwise) {
    x.values.writing { values in
      parallelBlocks(count) { block in
        function(values + block.lowerBound, values + block.lowerBound, block.count)
      }
    }
  }
  return x
}

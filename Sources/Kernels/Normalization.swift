private import CKernels
package import Tensors

/// Group normalization (Wu & He, 2018), as torch.nn.functional.group_norm: each group of channels
/// of each picture is brought to mean 0 and variance 1, then each channel scaled and shifted.
///
/// Means and variances are summed in float64.
///
/// - Parameters:
///   - x: [batch, channels, ...].
///   - scale, bias: one number for each channel.
///   - silu: whether ``silu(_:)`` follows, in the same pass.
/// - Precondition: `groups` divides the channels.
package func groupNorm(
  _ x: consuming Tensor, groups: Int, scale: [Float], bias: [Float], epsilon: Float,
  silu: Bool = false
) -> Tensor {
  let shape = x.shape
  precondition(
    shape.rank >= 2 && groups >= 1 && shape[1] % groups == 0 && scale.count == shape[1]
      && bias.count == shape[1],
    "\(groups) groups of \(shape), \(scale.count) scales and \(bias.count) biases")
  if shape.count == 0 { return x }
  let (batch, channels) = (shape[0], shape[1])
  let area = shape.count / (batch * channels)
  let width = channels / groups
  x.values.writing { values in
    parallel(batch * groups) { unit in
      let first = values + unit * width * area
      let moments = Moments(of: first, width * area)
      let factor = moments.factor(epsilon)
      for index in 0..<width {
        let channel = unit % groups * width + index
        let plane = first + index * area
        let slope = Double(scale[channel]) * factor
        let shift = Double(bias[channel]) - moments.rest * slope
        decant_scale_and_shift(plane, moments.center, Float(slope), Float(shift), plane, area)
        if silu { decant_silu(plane, plane, area) }
      }
    }
  }
  return x
}

/// Layer normalization (Ba, Kiros & Hinton, 2016) of each row, as torch.nn.functional.layer_norm.
///
/// - Parameters:
///   - x: [..., features].
///   - scale, bias: one number for each feature.
package func layerNorm(
  _ x: consuming Tensor, scale: [Float], bias: [Float], epsilon: Float
) -> Tensor {
  let features = scale.count
  precondition(
    x.shape.extents.last == features && bias.count == features,
    "\(x.shape) with \(features) scales and \(bias.count) biases")
  if x.shape.count == 0 { return x }
  let rows = x.shape.count / features
  x.values.writing { values in
    scale.reading { scale in
      bias.reading { bias in
        parallelBlocks(rows, size: max(1, blockSize / features)) { block in
          for row in block {
            let numbers = values + row * features
            let moments = Moments(of: numbers, features)
            let factor = moments.factor(epsilon)
            decant_normalize(
              numbers, moments.center, Float(factor), Float(-moments.rest * factor), scale.base,
              bias.base, numbers, features)
          }
        }
      }
    }
  }
  return x
}

/// Mean and variance of some numbers, from sums in float64.
private struct Moments {
  /// The mean is `center + rest`: numbers far from zero lose nothing when `center` is taken off in
  /// float32, and `rest` is not lost either.
  let center: Float
  let rest: Double
  private let variance: Double

  init(of values: UnsafePointer<Float>, _ count: Int) {
    var sum = 0.0
    var squares = 0.0
    decant_moments(values, count, &sum, &squares)
    let mean = sum / Double(count)
    center = Float(mean)
    rest = mean - Double(center)
    variance = max(0, squares / Double(count) - mean * mean)
  }

  /// What brings the variance to 1.
  func factor(_ epsilon: Float) -> Double { 1 / (variance + Double(epsilon)).squareRoot() }
}

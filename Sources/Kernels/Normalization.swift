private import CKernels
internal import Support
package import Tensors

/// Group normalization (Wu & He, 2018), as `torch.nn.functional.group_norm`: normalizes each group
/// of channels of each image to mean 0 and variance 1, then scales and shifts each channel.
///
/// Means and variances are computed from sums in float64.
///
/// - Parameters:
///   - x: [batch, channels, ...].
///   - scale, bias: one number for each channel.
///   - silu: whether to apply ``silu(_:)`` in the same pass.
/// - Precondition: `groups` divides the channels.
package func groupNorm(
  _ x: Tensor, groups: Int, scale: [Float], bias: [Float], epsilon: Float, silu: Bool = false
) -> Tensor {
  let norm = GroupNormalization(
    shape: x.shape, groups: groups, scale: scale, bias: bias, epsilon: epsilon, silu: silu)
  return x.values.reading { source in
    Tensor(shape: x.shape) { target in norm.run(source, into: target) }
  }
}

/// Group normalization in place; see ``groupNorm(_:groups:scale:bias:epsilon:silu:)``.
package func groupNorm(
  inPlace x: inout Tensor, groups: Int, scale: [Float], bias: [Float], epsilon: Float,
  silu: Bool = false
) {
  let norm = GroupNormalization(
    shape: x.shape, groups: groups, scale: scale, bias: bias, epsilon: epsilon, silu: silu)
  x.values.writing { target in norm.run(Source(base: target.base), into: target) }
}

private struct GroupNormalization: Sendable {
  let shape: Shape
  let groups: Int
  let scale: [Float]
  let bias: [Float]
  let epsilon: Float
  let silu: Bool

  init(shape: Shape, groups: Int, scale: [Float], bias: [Float], epsilon: Float, silu: Bool) {
    precondition(
      shape.rank >= 2 && groups >= 1 && shape[1] % groups == 0 && scale.count == shape[1]
        && bias.count == shape[1],
      "\(groups) groups of \(shape), \(scale.count) scales and \(bias.count) biases")
    (self.shape, self.groups, self.scale, self.bias) = (shape, groups, scale, bias)
    (self.epsilon, self.silu) = (epsilon, silu)
  }

  func run(_ source: Source, into target: Target) {
    if shape.count == 0 { return }
    let (batch, channels) = (shape[0], shape[1])
    let area = shape.count / (batch * channels)
    let width = channels / groups
    Profile.timing(.normalization) {
      interruptibleParallel(batch * groups) { unit in
        let first = unit * width * area
        let moments = Moments(of: source + first, width * area)
        let factor = moments.factor(epsilon)
        for index in 0..<width {
          let channel = unit % groups * width + index
          let plane = source + first + index * area
          let output = target + first + index * area
          let slope = Double(scale[channel]) * factor
          let shift = Float(Double(bias[channel]) - moments.rest * slope)
          if silu {
            decant_scale_shift_silu(plane, moments.center, Float(slope), shift, output, area)
          } else {
            decant_scale_and_shift(plane, moments.center, Float(slope), shift, output, area)
          }
        }
      }
    }
  }
}

/// Layer normalization (Ba, Kiros & Hinton, 2016) over features in planes, as
/// `torch.nn.functional.layer_norm` over the last axis of the transposed tensor.
///
/// - Parameters:
///   - x: [batch, features, tokens].
///   - scale, bias: one number for each feature.
package func layerNorm(
  _ x: Tensor, scale: [Float], bias: [Float], epsilon: Float
) -> Tensor {
  let shape = x.shape
  precondition(
    shape.rank == 3 && shape[1] == scale.count && bias.count == scale.count,
    "\(shape) with \(scale.count) scales and \(bias.count) biases")
  if shape.count == 0 { return x }
  let (features, tokens) = (shape[1], shape[2])
  let run = columnRun(of: tokens)
  let runs = (tokens + run - 1) / run
  return Profile.timing(.normalization) {
    x.values.reading { values in
      Tensor(shape: shape) { output in
        scale.reading { scale in
          bias.reading { bias in
            interruptibleParallel(shape[0] * runs) { unit in
              let first = unit % runs * run
              let start = unit / runs * features * tokens + first
              decant_normalize_columns(
                values + start, tokens, features, min(run, tokens - first), epsilon, scale.base,
                bias.base,
                output + start)
            }
          }
        }
      }
    }
  }
}

/// The mean and variance of some numbers, from sums in float64.
private struct Moments {
  /// The mean is `center + rest`. Subtracting `center` in float32 keeps the precision of numbers
  /// that are far from zero, and `rest` is the remainder of the mean.
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

  /// The factor that makes the variance 1.
  func factor(_ epsilon: Float) -> Double { 1 / (variance + Double(epsilon)).squareRoot() }
}

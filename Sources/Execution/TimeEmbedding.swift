private import Foundation
import Kernels
import ModelSources
import Models
import Tensors

/// Sines and cosines of numbers: diffusers' `get_timestep_embedding`.
///
/// - Returns: a row of `spec.width` for each of `numbers`.
func sineEmbedding(_ numbers: [Float], _ spec: UNetSpec.SineEmbedding) -> Tensor {
  let half = spec.width / 2
  let frequencies = (0..<half).map { index in
    // float32 in the order of operations of diffusers. Another order would change the angle at
    // timestep 999 by as much as the tolerance of a whole component.
    let exponent = Float(-log(10000.0)) * Float(index) / Float(Double(half) - spec.freqShift)
    return Float(exp(Double(exponent)))
  }
  var values: [Float] = []
  values.reserveCapacity(numbers.count * spec.width)
  for number in numbers {
    let angles = frequencies.map { Double(number * $0) }
    let sines = angles.map { Float(sin($0)) }
    let cosines = angles.map { Float(cos($0)) }
    values += spec.flipSinToCos ? cosines + sines : sines + cosines
    // An odd width ends with a zero.
    if spec.width % 2 == 1 { values.append(0) }
  }
  return Tensor(shape: [numbers.count, spec.width], values: values)
}

/// diffusers' `TimestepEmbedding`.
struct TimeEmbedding: Sendable {
  private let linear1: Linear
  private let linear2: Linear
  private let conditionProjection: Linear?

  init(_ spec: UNetSpec.Embedding, _ weights: any WeightSource) throws {
    linear1 = try Linear(spec.linear1, weights, .f32)
    linear2 = try Linear(spec.linear2, weights, .f32)
    conditionProjection = try spec.conditionProjection.map { try Linear($0, weights, .f32) }
  }

  /// - Parameter condition: the input of `cond_proj`; without it, that layer is skipped.
  func callAsFunction(
    _ x: Tensor, condition: Tensor? = nil, _ observer: (any ActivationObserver)?
  ) throws -> Tensor {
    var x = x
    if let conditionProjection, let condition {
      x = add(try conditionProjection(condition, observer), x)
    }
    return try linear2(silu(linear1(x, observer)), observer)
  }
}

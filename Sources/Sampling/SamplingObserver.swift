package import Execution
package import Models
package import Tensors

/// Sees a run of the sampler from inside: calibration its activations, verification its steps.
package protocol SamplingObserver: AnyObject, Sendable {
  /// Asked before each call of the U-Net for what shall see the call's activations.
  func activationObserver(for call: UNetCall) -> (any ActivationObserver)?

  /// Called after each step.
  func didStep(_ step: SamplingStep)
}

extension SamplingObserver {
  package func activationObserver(for call: UNetCall) -> (any ActivationObserver)? { nil }
  package func didStep(_ step: SamplingStep) {}
}

/// One call of the U-Net in a run.
///
/// Its batch is made of as many equal parts as there are ``branches``, in their order, each with
/// one entry for every picture of ``pictures``. Layers see the batch, or the rows of its entries
/// one after another.
package struct UNetCall: Sendable, Equatable {
  /// Index into the scheduler's timesteps.
  package let step: Int
  package let timestep: Float
  package let branches: [GuidanceBranch]
  /// Which pictures of the request the call is for.
  package let pictures: Range<Int>
}

/// What the U-Net said at a step.
package struct NoisePrediction: Sendable {
  /// `nil` without guidance.
  package let unconditional: Tensor?
  package let conditional: Tensor
  /// What the scheduler is given.
  package let guided: Tensor
}

/// A step that was taken.
package struct SamplingStep: Sendable {
  /// Index into the scheduler's timesteps.
  package let index: Int
  package let timestep: Float
  /// The latents before the step, [count, channels, height / 8, width / 8].
  package let before: Tensor
  /// What the U-Net was given: the latents, scaled as the scheduler wants them.
  package let modelInput: Tensor
  package let prediction: NoisePrediction
  package let after: Tensor

  let scheduler: any Scheduler
  let noise: Tensor?

  /// The latents that another prediction would have led to from the same place, with the same
  /// history of steps and the same added noise.
  package func after(_ prediction: Tensor) -> Tensor {
    var scheduler = scheduler
    return scheduler.step(prediction, at: index, sample: before) {
      noise ?? Tensor(zeros: before.shape)
    }
  }
}

package import Execution
package import Models
package import Tensors

/// Receives the U-Net calls and the steps of a sampler run. Calibration observes activations,
/// verification observes steps.
package protocol SamplingObserver: AnyObject, Sendable {
  /// Called before each U-Net call.
  ///
  /// - Returns: an observer of the call's activations, or `nil`.
  func activationObserver(for call: UNetCall) -> (any ActivationObserver)?

  /// Called after each step.
  func didStep(_ step: SamplingStep)
}

extension SamplingObserver {
  package func activationObserver(for call: UNetCall) -> (any ActivationObserver)? { nil }
  package func didStep(_ step: SamplingStep) {}
}

/// One U-Net call of a sampler run.
///
/// The batch has one part per entry of ``branches``, in that order. Each part has one entry per
/// image of ``images``. Layers receive the whole batch, or the rows of all its entries.
package struct UNetCall: Sendable, Equatable {
  /// Index into the scheduler's timesteps.
  package let step: Int
  package let timestep: Float
  package let branches: [GuidanceBranch]
  /// Indices of the request's images in this call.
  package let images: Range<Int>
}

/// The U-Net's predictions at one step.
package struct NoisePrediction: Sendable {
  /// `nil` without guidance.
  package let unconditional: Tensor?
  package let conditional: Tensor
  /// The prediction after guidance, which the scheduler takes.
  package let guided: Tensor
}

/// One finished step of a sampler run.
package struct SamplingStep: Sendable {
  /// Index into the scheduler's timesteps.
  package let index: Int
  package let timestep: Float
  /// The latents before the step, [count, channels, height / 8, width / 8].
  package let before: Tensor
  /// The U-Net's input: the latents after the scheduler's `scale_model_input`.
  package let modelInput: Tensor
  package let prediction: NoisePrediction
  package let after: Tensor

  let scheduler: any Scheduler
  let noise: Tensor?

  /// The latents after this step with another prediction, from the same latents, scheduler state
  /// and added noise.
  package func after(_ prediction: Tensor) -> Tensor {
    var scheduler = scheduler
    return scheduler.step(prediction, at: index, sample: before) {
      noise ?? Tensor(zeros: before.shape)
    }
  }
}

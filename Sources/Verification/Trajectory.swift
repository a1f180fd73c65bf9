import Models
import Kernels
import Sampling
import Synchronization
import Tensors

/// One picture as the reference makes it, with every step on the way.
struct Trajectory: Sendable {
  struct Step: Sendable {
    let timestep: Float
    let modelInput: Tensor
    /// The noise prediction, guidance applied.
    let prediction: Tensor
    let after: Tensor
  }

  let request: SamplingRequest
  let conditioning: Sampler.Conditioning
  let steps: [Step]
  /// The decoded latents, before they are rounded to levels.
  let image: Tensor
  let picture: Image

  init(_ request: SamplingRequest, of sampler: Sampler, progress: () -> Void) throws {
    self.request = request
    let conditioning = try sampler.conditioning(for: request)
    let recorder = StepRecorder { step in
      Step(
        timestep: step.timestep, modelInput: step.modelInput, prediction: step.prediction.guided,
        after: step.after)
    }
    let latents = try sampler.denoise(request, conditioning: conditioning, observer: recorder) {
      _, _ in progress()
    }
    self.conditioning = conditioning
    steps = recorder.steps
    image = try sampler.image(of: latents)
    picture = Image.pictures(decoded: image)[0]
  }
}

/// What another model does beside a trajectory.
struct Deviation {
  /// Relative errors of the latents after each step of the model's own run.
  let latents: [Double]
  /// Relative errors of the noise predictions for the trajectory's inputs.
  let predictions: [Double]
  let picture: Image
  /// Relative error of the decoder for the trajectory's last latents.
  let decoder: Double
  /// Relative errors of blocks, by the reference's names, for each step that was looked into.
  let blocks: [[String: Double]]

  /// - Parameters:
  ///   - reference: asked again for its blocks at `blockSteps`.
  ///   - progress: called after each call of a U-Net.
  init(
    _ sampler: Sampler, from trajectory: Trajectory, reference: Sampler, blockSteps: Set<Int>,
    renames: BlockRenames, progress: () -> Void
  ) throws {
    let recorder = StepRecorder { $0.after }
    let latents = try sampler.denoise(trajectory.request, observer: recorder) { _, _ in
      progress()
    }
    self.latents = zip(recorder.steps, trajectory.steps).map {
      relativeError(of: $0, from: $1.after)
    }
    picture = try sampler.decode(latents)[0]

    var blocks: [[String: Double]] = []
    predictions = try trajectory.steps.enumerated().map { index, step in
      var tap: ComparingTap?
      if blockSteps.contains(index) {
        let expected = RecordingTap()
        _ = try reference.predict(
          step.modelInput, timestep: step.timestep, conditioning: trajectory.conditioning,
          step: index, observer: expected)
        progress()
        tap = ComparingTap(expected, renames: renames)
      }
      let found = try sampler.predict(
        step.modelInput, timestep: step.timestep, conditioning: trajectory.conditioning,
        step: index, observer: tap)
      progress()
      if let tap { blocks.append(tap.errors) }
      return relativeError(of: found.guided, from: step.prediction)
    }
    self.blocks = blocks
    let last = trajectory.steps.last?.after ?? latents
    decoder = relativeError(of: try sampler.image(of: last), from: trajectory.image)
  }
}

func relativeError(of found: Tensor, from expected: Tensor) -> Double {
  ErrorMeasures(reference: expected.values, candidate: found.values).relativeRMS
}

/// Keeps something of each step of a run.
private final class StepRecorder<Kept: Sendable>: SamplingObserver {
  private let state = Mutex<[Kept]>([])
  private let keep: @Sendable (SamplingStep) -> Kept

  init(_ keep: @escaping @Sendable (SamplingStep) -> Kept) { self.keep = keep }

  func didStep(_ step: SamplingStep) {
    let kept = keep(step)
    state.withLock { $0.append(kept) }
  }

  var steps: [Kept] { state.withLock { $0 } }
}

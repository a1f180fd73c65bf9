import Kernels
import Models
import Sampling
import Synchronization
import Tensors

/// A run of the reference: the image and every step.
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
  /// The decoded latents, before rounding to 8-bit levels.
  let decoded: Tensor
  let image: Image

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
    decoded = try sampler.decodedTensor(latents)
    image = Image.images(decoded: decoded)[0]
  }
}

/// The errors of another model relative to a trajectory of the reference.
struct Deviation {
  /// Relative errors of the latents after each step of the model's own run.
  let latents: [Double]
  /// Relative errors of the noise predictions for the trajectory's inputs.
  let predictions: [Double]
  let image: Image
  /// Relative error of the VAE decoder for the trajectory's last latents.
  let decoder: Double
  /// Relative error by the reference's block name, for each step whose blocks are compared.
  let blocks: [[String: Double]]

  /// - Parameters:
  ///   - reference: runs again at `blockSteps` for its blocks.
  ///   - progress: called after each U-Net call.
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
    image = try sampler.decode(latents)[0]

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
    decoder = relativeError(of: try sampler.decodedTensor(last), from: trajectory.decoded)
  }
}

/// Root mean square of the difference divided by that of `expected`.
func relativeError(of found: Tensor, from expected: Tensor) -> Double {
  ErrorMeasures(reference: expected.values, candidate: found.values).relativeRMS
}

/// Records a value of each step of a run.
private final class StepRecorder<Value: Sendable>: SamplingObserver {
  private let state = Mutex<[Value]>([])
  private let value: @Sendable (SamplingStep) -> Value

  init(_ value: @escaping @Sendable (SamplingStep) -> Value) { self.value = value }

  func didStep(_ step: SamplingStep) {
    let recorded = value(step)
    state.withLock { $0.append(recorded) }
  }

  var steps: [Value] { state.withLock { $0 } }
}

import Calibration
import Execution
import Kernels
import Models
import Sampling
import Synchronization
import Tensors

/// A run of the reference to an image.
struct Trajectory: Sendable {
  struct Step: Sendable {
    let place: StepPlace
    /// The latents after the step.
    let after: Tensor
  }

  let request: SamplingRequest
  let steps: [Step]
  let latents: Tensor
  /// The decoded latents, before rounding to 8-bit levels.
  let decoded: Tensor
  let image: Image

  /// - Parameters:
  ///   - recorder: records calls of the run as well.
  ///   - progress: called after each call.
  ///   - didDecode: called after the latents are decoded.
  init(
    _ request: SamplingRequest, of sampler: Sampler, recorder: CallRecorder?,
    progress: () -> Void, didDecode: () -> Void
  ) throws {
    self.request = request
    let steps = StepRecorder {
      Step(
        place: StepPlace(step: $0.index, timestep: Double($0.timestep)), after: $0.after)
    }
    let observers: [(any SamplingObserver)?] = [steps, recorder]
    latents = try sampler.denoise(
      request, observer: StepObservers(observers.compactMap { $0 })
    ) { _, _ in progress() }
    self.steps = steps.steps
    decoded = try sampler.decodedTensor(latents)
    didDecode()
    image = Image.images(decoded: decoded)[0]
  }
}

/// The differences of another model's own run from a trajectory of the reference.
struct Deviation {
  /// Relative errors of the latents after each step.
  let latents: [Double]
  /// Cosine of the final latents.
  let cosine: Double
  let image: Image

  /// - Parameters:
  ///   - progress: called after each call.
  ///   - didDecode: called after the latents are decoded.
  init(
    _ sampler: Sampler, from trajectory: Trajectory, progress: () -> Void, didDecode: () -> Void
  ) throws {
    let recorder = StepRecorder { $0.after }
    let found = try sampler.denoise(trajectory.request, observer: recorder) { _, _ in
      progress()
    }
    latents = zip(recorder.steps, trajectory.steps).map {
      relativeError(of: $0, from: $1.after)
    }
    cosine = ErrorMeasures(reference: trajectory.latents.values, candidate: found.values).cosine
    image = try sampler.decode(found)[0]
    didDecode()
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

/// Passes the steps of a run to several observers.
private final class StepObservers: SamplingObserver {
  private let observers: [any SamplingObserver]

  init(_ observers: [any SamplingObserver]) { self.observers = observers }

  func didStep(_ step: SamplingStep) {
    for observer in observers { observer.didStep(step) }
  }
}

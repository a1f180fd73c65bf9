internal import Execution
private import Models
internal import Quantization
package import Sampling

/// Calibrates with the reference sampler: each run is one picture, up to its last step and without
/// its decoding.
package struct SamplerSubject: CalibrationSubject {
  /// What the arguments come to with the model's own size and scheduler.
  package let settings: CalibrationSettings
  package let callsPerRun: Int
  private let sampler: Sampler
  private let request: SamplingRequest

  /// - Parameters:
  ///   - scheduler: a name on the command line; `nil` is the model's own.
  ///   - width: in pixels; `nil` is what the model was trained on.
  /// - Throws: `SchedulerError` for a scheduler that there is not, or that cannot make so few or
  ///   many steps.
  package init(
    _ sampler: Sampler, steps: Int = 20, scheduler: String? = nil, guidanceScale: Double = 7.5,
    width: Int? = nil, height: Int? = nil
  ) throws {
    var request = SamplingRequest(prompt: "")
    request.steps = steps
    request.scheduler = scheduler
    request.guidanceScale = guidanceScale
    request.width = width
    request.height = height
    let kind =
      if let scheduler {
        try Schedulers.named(scheduler)
      } else {
        try Schedulers.described(
          by: sampler.model.scheduler ?? sampler.model.family.architecture.scheduler)
      }
    let size = sampler.size(for: request)
    settings = CalibrationSettings(
      steps: steps, scheduler: kind.name, guidanceScale: guidanceScale, width: size.width,
      height: size.height)
    // PNDM asks for more than one call a step.
    callsPerRun = try sampler.scheduler(for: request).timesteps.count
    self.sampler = sampler
    self.request = request
  }

  package func perform(
    _ run: CalibrationRun, watchedBy collector: StatisticsCollector
  ) throws {
    var request = request
    request.setPrompt(Prompt(run.prompt, negativePrompt: run.negativePrompt))
    request.seed = run.seed
    _ = try sampler.denoise(request, observer: CallWatcher(collector))
  }
}

/// Announces each call of the U-Net to the collector.
private final class CallWatcher: SamplingObserver {
  private let collector: StatisticsCollector

  init(_ collector: StatisticsCollector) { self.collector = collector }

  func activationObserver(for call: UNetCall) -> (any ActivationObserver)? {
    collector.begin(
      timestep: Double(call.timestep), passes: call.branches.map(\.guidancePass))
    return collector
  }
}

extension UNetCall.Branch {
  fileprivate var guidancePass: GuidancePass {
    switch self {
    case .unconditional: .unconditional
    case .conditional: .conditional
    }
  }
}

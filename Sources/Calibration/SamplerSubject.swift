internal import Execution
internal import ModelSources
private import Models
internal import Quantization
package import Sampling

/// Performs calibration runs with the reference sampler. It does not decode the latents.
package struct SamplerSubject: CalibrationSubject {
  /// The settings, with the model's own size and scheduler where the arguments give none.
  package let settings: CalibrationSettings
  package let callsPerRun: Int
  private let sampler: Sampler
  private let request: SamplingRequest

  /// - Parameters:
  ///   - scheduler: the scheduler's name; `nil` for the model's own.
  ///   - width: in pixels; `nil` for the size that the model was trained on.
  /// - Throws: `SchedulerError` for an unknown scheduler, or for a number of steps that the
  ///   scheduler does not support.
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
    // PNDM calls the U-Net more than once in some steps.
    callsPerRun = try sampler.scheduler(for: request).timesteps.count
    self.sampler = sampler
    self.request = request
  }

  package func perform(
    _ run: CalibrationRun, observedBy collector: StatisticsCollector
  ) throws {
    var request = request
    request.setPrompt(Prompt(run.prompt, negativePrompt: run.negativePrompt))
    request.seed = run.seed
    _ = try sampler.denoise(request, observer: CallObserver(collector))
  }
}

/// Passes the timestep and branches of each U-Net call to the collector.
private final class CallObserver: SamplingObserver {
  private let collector: StatisticsCollector

  init(_ collector: StatisticsCollector) { self.collector = collector }

  func activationObserver(for call: UNetCall) -> (any ActivationObserver)? {
    collector.begin(
      timestep: Double(call.timestep), branches: call.branches)
    return collector
  }
}

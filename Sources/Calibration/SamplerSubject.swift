internal import Execution
internal import ModelSources
private import Models
internal import Quantization
package import Sampling

/// Performs calibration runs with the reference sampler. It does not decode the latents.
package struct SamplerSubject: CalibrationSubject {
  /// The settings, with the model's own size and scheduler where the request gives none.
  package let settings: CalibrationSettings
  package let callsPerRun: Int
  private let sampler: Sampler
  private let request: SamplingRequest

  /// - Parameter request: the settings of all runs; prompts and seeds are those of each run.
  /// - Throws: `SchedulerError` for an unknown scheduler, or for a number of steps that the
  ///   scheduler does not support.
  package init(_ sampler: Sampler, _ request: SamplingRequest) throws {
    settings = CalibrationSettings(
      steps: request.steps, scheduler: try sampler.model.schedulerKind(for: request).name,
      guidanceScale: request.guidanceScale, size: sampler.size(for: request))
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

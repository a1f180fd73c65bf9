internal import Execution
internal import ModelSources
private import Models
internal import Quantization
package import Sampling
package import Support

/// Performs calibration runs with the reference sampler. It does not decode the latents.
package struct SamplerSubject: CalibrationSubject {
  /// The settings, with the model's own size and scheduler where the request gives none.
  package let settings: CalibrationSettings
  package let callsPerRun: Int
  private let sampler: Sampler
  private let request: SamplingRequest

  /// Indices of the steps of a run that are recorded.
  private let recordedSteps: Set<Int>
  /// The runs whose calls are recorded; `nil` for all.
  private let recordedRuns: Set<CalibrationRun>?

  /// - Parameters:
  ///   - request: the settings of all runs; prompts, seeds and sizes are those of each run.
  ///   - sizes: the sizes of the runs; empty for the model's own.
  ///   - recordedSteps: the number of steps of a run to record, spread evenly.
  ///   - recordedRuns: the runs whose calls are recorded; `nil` for all.
  /// - Throws: `SchedulerError` for an unknown scheduler, or for a number of steps that the
  ///   scheduler does not support.
  package init(
    _ sampler: Sampler, _ request: SamplingRequest, sizes: [ImageSize] = [],
    recordedSteps: Int = CalibrationSettings.standardRecordedSteps,
    recordedRuns: Set<CalibrationRun>? = nil
  ) throws {
    settings = CalibrationSettings(
      steps: request.steps, recordedSteps: recordedSteps,
      scheduler: try sampler.model.schedulerKind(for: request).name,
      guidanceScale: request.guidanceScale,
      sizes: sizes.isEmpty ? [sampler.size(for: request)] : sizes)
    // PNDM calls the U-Net more than once in some steps.
    callsPerRun = try sampler.scheduler(for: request).timesteps.count
    self.recordedSteps = spread(recordedSteps, over: callsPerRun)
    self.recordedRuns = recordedRuns
    self.sampler = sampler
    self.request = request
  }

  package func perform(
    _ run: CalibrationRun, observedBy collector: StatisticsCollector
  ) throws -> [ReferenceCall] {
    var request = request
    request.setPrompt(Prompt(run.prompt, negativePrompt: run.negativePrompt))
    request.seed = run.seed
    request.setSize(run.size)
    let recorder = CallRecorder(
      collector, run: run,
      recording: recordedRuns?.contains(run) == false ? [] : recordedSteps)
    _ = try sampler.denoise(request, observer: recorder)
    return recorder.calls
  }
}

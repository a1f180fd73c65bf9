internal import Calibration
internal import Kernels
internal import ModelSources
internal import Models
private import Quantization
internal import Sampling
private import Stripping
internal import Support
private import Tensors

/// The calls of the U-Net that a job will make, and about how long they take on this machine.
struct WorkPlan {
  /// A part of a job.
  private struct Part {
    let title: String
    let calls: Int
    /// Pixels of all calls' images.
    let pixels: Double
  }

  private var parts: [Part] = []

  /// - Parameters:
  ///   - title: what the calls are for.
  ///   - share: the share of the U-Net that each call evaluates.
  mutating func add(_ title: String, calls: [(count: Int, size: ImageSize)], share: Double = 1) {
    let count = calls.reduce(0) { $0 + $1.count }
    if count == 0 { return }
    let pixels = calls.reduce(0.0) {
      $0 + share * Double($1.count) * Double($1.size.width * $1.size.height)
    }
    parts.append(Part(title: title, calls: count, pixels: pixels))
  }

  /// The calls of a calibration, and those that measure and round with it.
  ///
  /// - Parameters:
  ///   - measures: what is measured.
  ///   - byLayer: whether sensitivities are those of layers, not of resnets and transformer blocks.
  ///   - rounds: whether layers are rounded with the second moments of their inputs.
  init(
    _ request: CalibrationRequest, runs: [CalibrationRun], of model: Model,
    measures: Set<CalibrateJob.Measurement>, byLayer: Bool = false, rounds: Bool = false
  ) {
    let steps = request.sampling(of: model).steps
    add("calibration", calls: runs.map { (steps, $0.size) })
    let recordedRuns = Array(runs.recorded)
    let recorded = spread(CalibrationSettings.standardRecordedSteps, over: steps).sorted()
    /// Half of the U-Net lies behind the average unit.
    func addUnits(_ title: String, count: Int, byLayer: Bool) {
      let calls = SensitivityUnit.calls(of: recordedRuns, steps: recorded, byLayer: byLayer)
      add(title, calls: calls.map { (count, $0.run.size) }, share: 0.5)
    }
    if measures.contains(.sensitivity) {
      let units = SensitivityUnit.units(
        of: model[ComponentName.unet]?.modules ?? [], byLayer: byLayer)
      addUnits("sensitivities", count: units.count, byLayer: byLayer)
    }
    if measures.contains(.blocks) {
      addUnits("block scores", count: StripUnit.all(of: model.unet).count, byLayer: false)
    }
    if rounds { add("rounding", calls: recordedRuns.map { (recorded.count, $0.size) }) }
  }

  /// The plan in words: each part with its calls, and the time that they take.
  ///
  /// Times one call with an image of `size`, the smallest of the job. The time grows with the pixels.
  ///
  /// - Throws: an error of the sampler or the weights, or `CancellationError`.
  func text(
    for model: Model, _ request: CalibrationRequest, size: ImageSize
  ) throws -> String {
    let sampler = try Sampler(model, arithmetic: request.compute.arithmetic)
    var sampling = request.sampling(of: model)
    sampling.setSize(size)
    let conditioning = try sampler.conditioning(for: sampling)
    let latent = size.latent(by: model.vae.downsamplingFactor)
    let input = Tensor(zeros: [1, model.vae.latentChannels, latent.height, latent.width])
    let call = try secondsPerCall {
      _ = try sampler.predict(input, timestep: 500, conditioning: conditioning)
    }
    let pixels = Double(size.width * size.height)
    let total = parts.reduce(0) { $0 + $1.pixels } / pixels * call
    let words = parts.map { "\($0.calls) for the \($0.title)" }
    return "calls of the U-Net: \(listed(words)); about \(duration(total)) on this machine"
  }

  private func duration(_ seconds: Double) -> String {
    seconds < 90
      ? counted(max(1, Int(seconds.rounded())), "second")
      : counted(Int((seconds / 60).rounded()), "minute")
  }
}

/// The seconds that a call of the U-Net takes: the least of a few short calls, of which the first one also
/// reads the weights, or those of a single long one.
func secondsPerCall(_ call: () throws -> Void) rethrows -> Double {
  func seconds() throws -> Double {
    let start = ContinuousClock.now
    try call()
    return (ContinuousClock.now - start).seconds
  }
  let first = try seconds()
  var least = first
  for _ in 0..<(first < 0.5 ? 4 : first < 5 ? 1 : 0) { least = min(least, try seconds()) }
  return least
}

internal import ModelSources
package import Support
package import Tensors

extension SchedulerKind {
  static let lcm = SchedulerKind(
    name: "lcm", title: "LCM", aliases: ["k_lcm"], className: "LCMScheduler", overrides: [:]
  ) { (config, steps) throws(SchedulerError) in try LCMScheduler(config, steps: steps) }
}

/// Multistep sampling of latent consistency models: each step predicts the original sample and,
/// except for the last, adds fresh noise to it.
///
/// Luo et al., arXiv 2310.04378, algorithm 3. Ported from diffusers' `LCMScheduler`.
package struct LCMScheduler: Scheduler {
  package let timesteps: [Float]
  package let initialNoiseSigma: Float = 1

  private let schedule: NoiseSchedule
  private let prediction: PredictionType
  private let clip: Float?
  private let timestepScaling: Double

  package init(_ json: JSONObject, steps: Int) throws(SchedulerError) {
    let config = SchedulerConfig(json, className: "LCMScheduler")
    try config.refuse("thresholding")
    let training = try config.trainTimesteps()
    let originalSteps = try config.integer("original_inference_steps", default: 50)
    guard 1...training ~= originalSteps else {
      throw .outOfRange(
        key: "original_inference_steps", found: "\(originalSteps)", expected: "1 to \(training)")
    }
    try checkSteps(steps, className: config.className, trainTimesteps: originalSteps)
    schedule = try NoiseSchedule(
      config, defaults: .init(start: 0.00085, end: 0.012, schedule: .scaledLinear))
    prediction = try config.predictionType()
    clip = try config.clip(default: false)
    timestepScaling = try config.positive("timestep_scaling") ?? 10
    // The timesteps are spaced evenly among those that the model was distilled with.
    let ratio = training / originalSteps
    let distilled = (1...originalSteps).map { $0 * ratio - 1 }.reversed().map { $0 }
    timesteps = (0..<steps).map { Float(distilled[$0 * originalSteps / steps]) }
  }

  package mutating func step(
    _ modelOutput: Tensor, at step: Int, sample: Tensor, noise: () -> Tensor
  ) -> Tensor {
    let timestep = Int(timesteps[step])
    let isLast = step == timesteps.count - 1
    let alpha = schedule.alphasCumprod[timestep]
    let next = isLast ? alpha : schedule.alphasCumprod[Int(timesteps[step + 1])]
    let (signalScale, noiseScale) = (alpha.squareRoot(), (1 - alpha).squareRoot())
    var original =
      switch prediction {
      case .epsilon: combine(1 / signalScale, sample, -noiseScale / signalScale, modelOutput)
      case .sample: modelOutput
      case .velocity: combine(signalScale, sample, -noiseScale, modelOutput)
      }
    if let clip {
      original = Tensor(
        shape: original.shape, values: original.values.map { min(max($0, -clip), clip) })
    }
    // Boundary condition of consistency models with sigma_data 0.5.
    let scaledTime = Double(timestep) * timestepScaling
    let skip = 0.25 / (scaledTime * scaledTime + 0.25)
    let out = scaledTime / (scaledTime * scaledTime + 0.25).squareRoot()
    let denoised = combine(Float(out), original, Float(skip), sample)
    if isLast { return denoised }
    return combine(next.squareRoot(), denoised, (1 - next).squareRoot(), noise())
  }

  package func noisy(_ sample: Tensor, noise: Tensor, at step: Int) -> Tensor {
    schedule.noisy(sample, noise: noise, at: timesteps[step])
  }
}

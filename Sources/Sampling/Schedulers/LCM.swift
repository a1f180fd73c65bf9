package import Support
package import Tensors

extension SchedulerKind {
  static let lcm = SchedulerKind(
    name: "lcm", title: "LCM", className: "LCMScheduler", overrides: [:]
  ) { (config, steps) throws(SchedulerError) in try LCMScheduler(config, steps: steps) }
}

/// Multistep sampling of latent consistency models: each step predicts the picture and, but for the
/// last, puts fresh noise on it.
///
/// Luo and others, arXiv 2310.04378, algorithm 3. Ported from diffusers' `LCMScheduler`.
package struct LCMScheduler: Scheduler {
  package let timesteps: [Float]
  package let initialNoiseSigma: Float = 1

  private let schedule: NoiseSchedule
  private let finalAlpha: Float
  private let prediction: PredictionType
  private let clip: Float?
  private let timestepScaling: Double

  package init(_ json: JSONObject, steps: Int) throws(SchedulerError) {
    let config = SchedulerConfig(json, className: "LCMScheduler")
    try config.refuse("thresholding")
    let training = try config.trainTimesteps()
    let original = try config.integer("original_inference_steps", default: 50)
    guard 1...training ~= original else {
      throw .outOfRange(
        key: "original_inference_steps", found: "\(original)", expected: "1 to \(training)")
    }
    try checkSteps(steps, className: config.className, trainTimesteps: original)
    schedule = try NoiseSchedule(config)
    finalAlpha =
      try config.bool("set_alpha_to_one", default: true) ? 1 : schedule.alphasCumprod[0]
    prediction = try config.predictionType()
    clip = try config.clip(default: false)
    timestepScaling = try config.positive("timestep_scaling") ?? 10
    // Of the timesteps that the model was distilled with, evenly chosen ones.
    let ratio = training / original
    let distilled = (1...original).map { $0 * ratio - 1 }.reversed().map { $0 }
    timesteps = (0..<steps).map { Float(distilled[$0 * original / steps]) }
  }

  package mutating func step(
    _ modelOutput: Tensor, at step: Int, sample: Tensor, noise: () -> Tensor
  ) -> Tensor {
    let timestep = Int(timesteps[step])
    let isLast = step == timesteps.count - 1
    let alpha = schedule.alphasCumprod[timestep]
    let next = isLast ? alpha : schedule.alphasCumprod[Int(timesteps[step + 1])]
    let (scale, spread) = (alpha.squareRoot(), (1 - alpha).squareRoot())
    var picture =
      switch prediction {
      case .epsilon: combine(1 / scale, sample, -spread / scale, modelOutput)
      case .sample: modelOutput
      case .velocity: combine(scale, sample, -spread, modelOutput)
      }
    if let clip {
      picture = Tensor(
        shape: picture.shape, values: picture.values.map { min(max($0, -clip), clip) })
    }
    // The boundary condition of consistency models, with a data deviation of a half.
    let scaledTime = Double(timestep) * timestepScaling
    let skip = 0.25 / (scaledTime * scaledTime + 0.25)
    let out = scaledTime / (scaledTime * scaledTime + 0.25).squareRoot()
    let denoised = combine(Float(out), picture, Float(skip), sample)
    if isLast { return denoised }
    return combine(next.squareRoot(), denoised, (1 - next).squareRoot(), noise())
  }

  package func noisy(_ picture: Tensor, noise: Tensor, at step: Int) -> Tensor {
    schedule.noisy(picture, noise: noise, at: timesteps[step])
  }
}

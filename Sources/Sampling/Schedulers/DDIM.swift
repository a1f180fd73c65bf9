internal import ModelSources
package import Support
package import Tensors

extension SchedulerKind {
  static let ddim = SchedulerKind(
    name: "ddim", title: "DDIM", aliases: [], className: "DDIMScheduler", overrides: [:]
  ) { (config, steps) throws(SchedulerError) in try DDIMScheduler(config, steps: steps) }
}

/// Denoising diffusion implicit models with eta 0, so without added noise.
///
/// Song et al., arXiv 2010.02502, equations (12) and (16). Ported from diffusers'
/// `DDIMScheduler`.
package struct DDIMScheduler: Scheduler {
  package let timesteps: [Float]
  package let initialNoiseSigma: Float = 1

  private let schedule: NoiseSchedule
  private let finalAlpha: Float
  private let prediction: PredictionType
  private let stride: Int
  /// Largest magnitude of the predicted original sample; `nil` without clipping.
  private let clip: Float?

  package init(_ json: JSONObject, steps: Int) throws(SchedulerError) {
    let config = SchedulerConfig(json, className: "DDIMScheduler")
    try config.refuse("thresholding")
    let training = try config.trainTimesteps()
    try checkSteps(steps, className: config.className, trainTimesteps: training)
    schedule = try NoiseSchedule(config)
    finalAlpha =
      try config.bool("set_alpha_to_one", default: true) ? 1 : schedule.alphasCumprod[0]
    prediction = try config.predictionType()
    clip = try config.clip(default: true)
    stride = training / steps
    let ascending: [Double]
    switch try config.spacing(default: .leading) {
    case .linspace:
      ascending = Timesteps.linspace(last: training - 1, count: steps)
        .map { $0.rounded(.toNearestOrEven) }
    case .leading:
      ascending = Timesteps.leading(
        ratio: stride, count: steps, offset: try config.stepsOffset())
    case .trailing:
      ascending = Timesteps.trailing(
        last: training, ratio: Double(training) / Double(steps), count: steps)
    }
    try checkTimesteps(
      ascending, steps: steps, className: config.className, trainTimesteps: training)
    timesteps = ascending.reversed().map { Float($0) }
  }

  package func noisy(_ sample: Tensor, noise: Tensor, at step: Int) -> Tensor {
    schedule.noisy(sample, noise: noise, at: timesteps[step])
  }

  package mutating func step(
    _ modelOutput: Tensor, at step: Int, sample: Tensor, noise: () -> Tensor
  ) -> Tensor {
    let timestep = Int(timesteps[step])
    let alpha = schedule.alphasCumprod[timestep]
    let next = timestep >= stride ? schedule.alphasCumprod[timestep - stride] : finalAlpha
    let (signalScale, noiseScale) = (alpha.squareRoot(), (1 - alpha).squareRoot())
    var original: Tensor
    let noisePart: Tensor
    switch prediction {
    case .epsilon:
      original = combine(1 / signalScale, sample, -noiseScale / signalScale, modelOutput)
      noisePart = modelOutput
    case .sample:
      original = modelOutput
      noisePart = combine(1 / noiseScale, sample, -signalScale / noiseScale, modelOutput)
    case .velocity:
      original = combine(signalScale, sample, -noiseScale, modelOutput)
      noisePart = combine(signalScale, modelOutput, noiseScale, sample)
    }
    if let clip {
      original = Tensor(
        shape: original.shape, values: original.values.map { min(max($0, -clip), clip) })
    }
    return combine(next.squareRoot(), original, (1 - next).squareRoot(), noisePart)
  }
}

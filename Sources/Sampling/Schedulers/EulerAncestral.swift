internal import ModelSources
package import Support
package import Tensors

extension SchedulerKind {
  static let eulerAncestral = SchedulerKind(
    name: "euler-a", title: "Euler a",
    aliases: ["euler_ancestral", "k_euler_a", "k_euler_ancestral"],
    className: "EulerAncestralDiscreteScheduler", overrides: [:]
  ) { (config, steps) throws(SchedulerError) in
    try EulerAncestralDiscreteScheduler(config, steps: steps)
  }
}

/// Euler's method with ancestral sampling: each step goes below the next sigma and adds fresh noise
/// back up to it.
///
/// Ported from diffusers' `EulerAncestralDiscreteScheduler`, which follows k-diffusion's
/// `sample_euler_ancestral`.
package struct EulerAncestralDiscreteScheduler: EulerScheduler {
  package let timesteps: [Float]
  package let initialNoiseSigma: Float
  /// The sigma of each step, and 0.
  package let sigmas: [Float]
  private let prediction: PredictionType

  package init(_ json: JSONObject, steps: Int) throws(SchedulerError) {
    let config = SchedulerConfig(json, className: "EulerAncestralDiscreteScheduler")
    let training = try config.trainTimesteps()
    try checkSteps(steps, className: config.className, trainTimesteps: training)
    let trainingSigmas = try NoiseSchedule(config, replacesTerminalZero: true).sigmas
    prediction = try config.predictionType()
    if prediction == .sample {
      throw config.unsupported(
        PredictionType.key,
        supported: [PredictionType.epsilon, .velocity].map { "'\($0.rawValue)'" })
    }
    let spacing = try config.spacing(default: .linspace)
    let exactTimesteps = try eulerTimesteps(
      config, spacing: spacing, training: training, steps: steps)
    sigmas = exactTimesteps.map { Float(NoiseSchedule.interpolate(trainingSigmas, at: $0)) } + [0]
    timesteps = exactTimesteps.map { Float($0) }
    initialNoiseSigma = eulerNoiseSigma(sigmas, spacing: spacing)
  }

  package mutating func step(
    _ modelOutput: Tensor, at step: Int, sample: Tensor, noise: () -> Tensor
  ) -> Tensor {
    let (from, to) = (sigmas[step], sigmas[step + 1])
    let original = eulerOriginal(modelOutput, sample: sample, sigma: from, prediction)
    let up = (to * to * (from * from - to * to) / (from * from)).squareRoot()
    let down = (to * to - up * up).squareRoot()
    let stepped = combine(1, sample, (down - from) / from, combine(1, sample, -1, original))
    // diffusers draws noise even in the last step, which adds none.
    return combine(1, stepped, up, noise())
  }
}

private import Foundation
internal import ModelSources
package import Support
package import Tensors

extension SchedulerKind {
  static let euler = SchedulerKind(
    name: "euler", title: "Euler", aliases: ["k_euler"],
    className: "EulerDiscreteScheduler", overrides: [:]
  ) { (config, steps) throws(SchedulerError) in try EulerDiscreteScheduler(config, steps: steps) }
}

/// Euler's method over sigmas: Karras et al., arXiv 2206.00364, algorithm 2, without churn.
///
/// Ported from diffusers' `EulerDiscreteScheduler`.
package struct EulerDiscreteScheduler: EulerScheduler {
  package let timesteps: [Float]
  package let initialNoiseSigma: Float
  /// The sigma of each step and of the final latents.
  package let sigmas: [Float]
  private let prediction: PredictionType

  private enum Interpolation: String, CaseIterable {
    case linear
    case logLinear = "log_linear"
  }

  private enum TimestepKind: String, CaseIterable {
    case discrete
    case continuous
  }

  package init(_ json: JSONObject, steps: Int) throws(SchedulerError) {
    let config = SchedulerConfig(json, className: "EulerDiscreteScheduler")
    try config.refuse("use_beta_sigmas")
    let training = try config.trainTimesteps()
    try checkSteps(steps, className: config.className, trainTimesteps: training)
    let schedule = try NoiseSchedule(config, replacesTerminalZero: true)
    prediction = try config.predictionType()
    let spacing = try config.spacing(default: .linspace)
    var exactTimesteps = try eulerTimesteps(
      config, spacing: spacing, training: training, steps: steps)

    let trainingSigmas = schedule.sigmas
    let logSigmas = trainingSigmas.map { logf($0) }
    var exactSigmas: [Double]
    switch try config.choice("interpolation_type", default: Interpolation.linear) {
    case .linear:
      exactSigmas = exactTimesteps.map { NoiseSchedule.interpolate(trainingSigmas, at: $0) }
    case .logLinear:
      exactSigmas = NoiseSchedule.exponential(
        from: Double(trainingSigmas[training - 1]), to: Double(trainingSigmas[0]), count: steps + 1)
    }
    let (largest, smallest) = try config.sigmaRange(
      largest: exactSigmas[0], smallest: exactSigmas[exactSigmas.count - 1])
    let usesKarras = try config.bool("use_karras_sigmas", default: false)
    if try config.bool("use_exponential_sigmas", default: false) {
      if usesKarras { throw config.unsupported("use_exponential_sigmas", supported: ["false"]) }
      exactSigmas = NoiseSchedule.exponential(from: largest, to: smallest, count: steps)
      exactTimesteps = exactSigmas.map { NoiseSchedule.timestep(of: $0, logSigmas: logSigmas) }
    } else if usesKarras {
      exactSigmas = NoiseSchedule.karras(from: largest, to: smallest, count: steps)
      exactTimesteps = exactSigmas.map { NoiseSchedule.timestep(of: $0, logSigmas: logSigmas) }
    }
    let sigmas =
      switch try config.choice("final_sigmas_type", default: FinalSigma.zero) {
      case .zero: exactSigmas.map { Float($0) } + [0]
      case .smallest: exactSigmas.map { Float($0) } + [trainingSigmas[0]]
      }
    self.sigmas = sigmas
    let kind = try config.choice("timestep_type", default: TimestepKind.discrete)
    timesteps =
      kind == .continuous && prediction == .velocity
      ? sigmas.prefix(steps).map { 0.25 * logf($0) } : exactTimesteps.map { Float($0) }
    initialNoiseSigma = eulerNoiseSigma(sigmas, spacing: spacing)
  }

  package mutating func step(
    _ modelOutput: Tensor, at step: Int, sample: Tensor, noise: () -> Tensor
  ) -> Tensor {
    let sigma = sigmas[step]
    let original = eulerOriginal(modelOutput, sample: sample, sigma: sigma, prediction)
    let ratio = (sigmas[step + 1] - sigma) / sigma
    return combine(1, sample, ratio, combine(1, sample, -1, original))
  }
}

// MARK: - Shared by both Euler schedulers

/// A scheduler whose noisy sample is `sample + sigma * noise`.
package protocol EulerScheduler: Scheduler {
  /// The sigma of each step and of the final latents.
  var sigmas: [Float] { get }
}

extension EulerScheduler {
  package func modelInput(_ sample: Tensor, at step: Int) -> Tensor {
    let sigma = sigmas[step]
    return scaled(1 / (sigma * sigma + 1).squareRoot(), sample)
  }

  package func noisy(_ sample: Tensor, noise: Tensor, at step: Int) -> Tensor {
    combine(1, sample, sigmas[step], noise)
  }
}

/// Timesteps in the order of sampling. Those of `linspace` need not be whole.
func eulerTimesteps(
  _ config: SchedulerConfig, spacing: TimestepSpacing, training: Int, steps: Int
) throws(SchedulerError) -> [Double] {
  switch spacing {
  case .linspace:
    // diffusers rounds these to float32 before it interpolates sigmas.
    Timesteps.linspace(last: training - 1, count: steps).reversed().map { Double(Float($0)) }
  case .leading:
    Timesteps.leading(
      ratio: training / steps, count: steps, offset: try config.stepsOffset()
    ).reversed()
  case .trailing:
    Timesteps.trailing(
      last: training, ratio: Double(training) / Double(steps), count: steps
    ).reversed()
  }
}

/// `init_noise_sigma` of both Euler schedulers.
func eulerNoiseSigma(_ sigmas: [Float], spacing: TimestepSpacing) -> Float {
  let largest = sigmas.max() ?? 1
  return spacing == .leading ? (largest * largest + 1).squareRoot() : largest
}

/// The original sample that the U-Net's output predicts: `pred_original_sample`.
func eulerOriginal(
  _ modelOutput: Tensor, sample: Tensor, sigma: Float, _ prediction: PredictionType
) -> Tensor {
  switch prediction {
  case .epsilon: combine(1, sample, -sigma, modelOutput)
  case .sample: modelOutput
  case .velocity:
    combine(
      -sigma / (sigma * sigma + 1).squareRoot(), modelOutput, 1 / (sigma * sigma + 1), sample)
  }
}

private import Foundation
package import Support
package import Tensors

extension SchedulerKind {
  static let euler = SchedulerKind(
    name: "euler", title: "Euler", className: "EulerDiscreteScheduler", overrides: [:]
  ) { (config, steps) throws(SchedulerError) in try EulerDiscreteScheduler(config, steps: steps) }
}

/// Euler's method in the space of sigmas: algorithm 2 of Karras and others, arXiv 2206.00364,
/// without churn.
///
/// Ported from diffusers' `EulerDiscreteScheduler`.
package struct EulerDiscreteScheduler: EulerScheduler {
  package let timesteps: [Float]
  package let initialNoiseSigma: Float
  /// One for each step, and the last step's target.
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
    var asked = try eulerTimesteps(config, spacing: spacing, training: training, steps: steps)

    let trained = schedule.sigmas
    let logSigmas = trained.map { logf($0) }
    var spread: [Double]
    switch try config.choice("interpolation_type", default: Interpolation.linear) {
    case .linear: spread = asked.map { NoiseSchedule.interpolate(trained, at: $0) }
    case .logLinear:
      spread = NoiseSchedule.exponential(
        from: Double(trained[training - 1]), to: Double(trained[0]), count: steps + 1)
    }
    let (largest, smallest) = try config.sigmaRange(
      largest: spread[0], smallest: spread[spread.count - 1])
    let usesKarras = try config.bool("use_karras_sigmas", default: false)
    if try config.bool("use_exponential_sigmas", default: false) {
      if usesKarras { throw config.unsupported("use_exponential_sigmas", supported: ["false"]) }
      spread = NoiseSchedule.exponential(from: largest, to: smallest, count: steps)
      asked = spread.map { NoiseSchedule.timestep(of: $0, logSigmas: logSigmas) }
    } else if usesKarras {
      spread = NoiseSchedule.karras(from: largest, to: smallest, count: steps)
      asked = spread.map { NoiseSchedule.timestep(of: $0, logSigmas: logSigmas) }
    }
    let sigmas =
      switch try config.choice("final_sigmas_type", default: FinalSigma.zero) {
      case .zero: spread.map { Float($0) } + [0]
      case .smallest: spread.map { Float($0) } + [trained[0]]
      }
    self.sigmas = sigmas
    let kind = try config.choice("timestep_type", default: TimestepKind.discrete)
    timesteps =
      kind == .continuous && prediction == .velocity
      ? sigmas.prefix(steps).map { 0.25 * logf($0) } : asked.map { Float($0) }
    initialNoiseSigma = eulerNoiseSigma(sigmas, spacing: spacing)
  }

  package mutating func step(
    _ modelOutput: Tensor, at step: Int, sample: Tensor, noise: () -> Tensor
  ) -> Tensor {
    let sigma = sigmas[step]
    let picture = eulerPicture(modelOutput, sample: sample, sigma: sigma, prediction)
    let ratio = (sigmas[step + 1] - sigma) / sigma
    return combine(1, sample, ratio, combine(1, sample, -1, picture))
  }
}

// MARK: - What both of Euler's schedulers share

/// A scheduler in the space of sigmas, whose noise is added to the picture as it is.
package protocol EulerScheduler: Scheduler {
  /// One for each step, and the last step's target.
  var sigmas: [Float] { get }
}

extension EulerScheduler {
  package func modelInput(_ sample: Tensor, at step: Int) -> Tensor {
    let sigma = sigmas[step]
    return scaled(1 / (sigma * sigma + 1).squareRoot(), sample)
  }

  package func noisy(_ picture: Tensor, noise: Tensor, at step: Int) -> Tensor {
    combine(1, picture, sigmas[step], noise)
  }
}

/// Timesteps from noise to picture; those of `linspace` need not be whole.
func eulerTimesteps(
  _ config: SchedulerConfig, spacing: TimestepSpacing, training: Int, steps: Int
) throws(SchedulerError) -> [Double] {
  switch spacing {
  case .linspace:
    // diffusers keeps these in float32 before it looks up sigmas.
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

func eulerNoiseSigma(_ sigmas: [Float], spacing: TimestepSpacing) -> Float {
  let largest = sigmas.max() ?? 1
  return spacing == .leading ? (largest * largest + 1).squareRoot() : largest
}

/// The picture without noise that the U-Net's output stands for.
func eulerPicture(
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

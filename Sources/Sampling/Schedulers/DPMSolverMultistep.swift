private import Foundation
internal import ModelSources
package import Support
package import Tensors

extension SchedulerKind {
  static let dpmSolverMultistep = SchedulerKind(
    name: "dpm++2m", title: "DPM++ 2M",
    aliases: ["k_dpmpp_2m", "DPMSolver++", "DPM-Solver++(2M)"],
    className: "DPMSolverMultistepScheduler",
    overrides: [
      "algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": false,
    ]
  ) { (config, steps) throws(SchedulerError) in
    try DPMSolverMultistepScheduler(config, steps: steps)
  }

  static let dpmSolverMultistepKarras = SchedulerKind(
    name: "dpm++2m-karras", title: "DPM++ 2M Karras",
    aliases: ["dpmpp_2m_k", "k_dpmpp_2m_ka"], className: "DPMSolverMultistepScheduler",
    overrides: ["algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": true]
  ) { (config, steps) throws(SchedulerError) in
    try DPMSolverMultistepScheduler(config, steps: steps)
  }
}

/// Multistep DPM-Solver++: Lu et al., arXiv 2211.01095, algorithm 2.
///
/// Ported from diffusers' `DPMSolverMultistepScheduler` with `algorithm_type` `dpmsolver++`, of
/// first and second order.
package struct DPMSolverMultistepScheduler: Scheduler {
  package let timesteps: [Float]
  package let initialNoiseSigma: Float = 1
  /// The sigma of each step and of the final latents.
  package let sigmas: [Float]

  private let prediction: PredictionType
  private let order: Int
  private let solver: Solver
  private let usesFirstOrderLast: Bool
  /// The original sample that the previous step predicted.
  private var previous: Tensor?

  private enum Solver: String, CaseIterable {
    case midpoint
    case heun
    // diffusers reads these values of other solvers as `midpoint`.
    case logrho
    case bh1
    case bh2
  }

  package init(_ json: JSONObject, steps: Int) throws(SchedulerError) {
    let config = SchedulerConfig(json, className: "DPMSolverMultistepScheduler")
    try config.refuse(
      "thresholding", "use_lu_lambdas", "use_beta_sigmas", "use_flow_sigmas",
      "use_dynamic_shifting")
    try config.require("algorithm_type", ["dpmsolver++", "deis"])
    try config.require("solver_order", [1, 2])
    try config.require("variance_type", [])
    let training = try config.trainTimesteps()
    try checkSteps(steps, className: config.className, trainTimesteps: training)
    let schedule = try NoiseSchedule(config, replacesTerminalZero: true)
    prediction = try config.predictionType()
    order = try config.integer("solver_order", default: 2)
    solver = try config.choice("solver_type", default: Solver.midpoint)

    var exactTimesteps = try Self.timesteps(
      config, schedule: schedule, training: training, steps: steps)
    let trainingSigmas = schedule.sigmas
    let logSigmas = trainingSigmas.map { logf($0) }
    var exactSigmas = exactTimesteps.map { NoiseSchedule.interpolate(trainingSigmas, at: $0) }
    let (largest, smallest) = try config.sigmaRange(
      largest: Double(trainingSigmas[training - 1]), smallest: Double(trainingSigmas[0]))
    let usesKarras = try config.bool("use_karras_sigmas", default: false)
    if usesKarras {
      exactSigmas = NoiseSchedule.karras(from: largest, to: smallest, count: steps)
      exactTimesteps = exactSigmas.map { NoiseSchedule.timestep(of: $0, logSigmas: logSigmas) }
      if config.json["beta_schedule"]?.string != "squaredcos_cap_v2" {
        exactTimesteps = exactTimesteps.map { $0.rounded(.toNearestOrEven) }
      }
    }
    if try config.bool("use_exponential_sigmas", default: false) {
      if usesKarras { throw config.unsupported("use_exponential_sigmas", supported: ["false"]) }
      exactSigmas = NoiseSchedule.exponential(from: largest, to: smallest, count: steps)
      exactTimesteps = exactSigmas.map { NoiseSchedule.timestep(of: $0, logSigmas: logSigmas) }
    }
    let final = try config.choice("final_sigmas_type", default: FinalSigma.zero)
    sigmas = exactSigmas.map { Float($0) } + [final == .zero ? 0 : trainingSigmas[0]]
    timesteps = exactTimesteps.map { Float($0.rounded(.towardZero)) }

    // Second order is unstable with few steps and in a last step to sigma zero.
    let isShort = try config.bool("lower_order_final", default: true) && steps < 15
    usesFirstOrderLast =
      try config.bool("euler_at_final", default: false) || isShort || final == .zero
  }

  private static func timesteps(
    _ config: SchedulerConfig, schedule: NoiseSchedule, training: Int, steps: Int
  ) throws(SchedulerError) -> [Double] {
    // `lambda_min_clipped` excludes the noisiest timesteps, as the cosine schedule needs.
    let threshold = try config.number("lambda_min_clipped") ?? -.infinity
    let clipped = schedule.alphasCumprod.reversed().firstIndex { alpha in
      Double(logf(alpha.squareRoot()) - logf((1 - alpha).squareRoot())) >= threshold
    }
    let last = clipped.map { $0.base } ?? 0
    guard last > steps || last == training else {
      throw .outOfRange(
        key: "lambda_min_clipped", found: "\(threshold)",
        expected: "a number that leaves more timesteps than the \(steps) steps")
    }
    switch try config.spacing(default: .linspace) {
    case .linspace:
      return Timesteps.linspace(last: last - 1, count: steps + 1)
        .map { $0.rounded(.toNearestOrEven) }.dropFirst().reversed()
    case .leading:
      return Timesteps.leading(
        ratio: last / (steps + 1), count: steps + 1, offset: try config.stepsOffset()
      ).dropFirst().reversed()
    case .trailing:
      let ratio = Double(training) / Double(steps)
      let count = min(steps, Int((Double(last) / ratio).rounded(.up)))
      return Timesteps.trailing(last: last, ratio: ratio, count: count).reversed()
    }
  }

  package func noisy(_ sample: Tensor, noise: Tensor, at step: Int) -> Tensor {
    let level = Level(ratio: sigmas[step])
    return combine(level.alpha, sample, level.sigma, noise)
  }

  package mutating func step(
    _ modelOutput: Tensor, at step: Int, sample: Tensor, noise: () -> Tensor
  ) -> Tensor {
    let from = Level(ratio: sigmas[step])
    let original = predictedOriginal(modelOutput, sample: sample, at: from)
    let earlier = previous
    previous = original

    let to = Level(ratio: sigmas[step + 1])
    let width = to.lambda - from.lambda
    let decay = to.alpha * (exp(-width) - 1)
    let first = combine(to.sigma / from.sigma, sample, -decay, original)
    guard order == 2, let earlier, !(usesFirstOrderLast && step == timesteps.count - 1) else {
      return first
    }
    let ratio = (from.lambda - Level(ratio: sigmas[step - 1]).lambda) / width
    let slope = combine(1 / ratio, original, -1 / ratio, earlier)
    let weight =
      solver == .heun ? to.alpha * ((exp(-width) - 1) / width + 1) : -0.5 * decay
    return combine(1, first, weight, slope)
  }

  private func predictedOriginal(
    _ modelOutput: Tensor, sample: Tensor, at level: Level
  ) -> Tensor {
    switch prediction {
    case .epsilon:
      combine(1 / level.alpha, sample, -level.sigma / level.alpha, modelOutput)
    case .sample: modelOutput
    case .velocity: combine(level.alpha, sample, -level.sigma, modelOutput)
    }
  }

  /// A noise level in the paper's notation: alpha_t, sigma_t and lambda_t, half the log
  /// signal-to-noise ratio.
  private struct Level {
    let alpha: Float
    let sigma: Float
    let lambda: Float

    /// - Parameter ratio: sigma_t / alpha_t, an entry of ``sigmas``.
    init(ratio: Float) {
      alpha = 1 / (ratio * ratio + 1).squareRoot()
      sigma = ratio * alpha
      lambda = logf(alpha) - logf(sigma)
    }
  }
}

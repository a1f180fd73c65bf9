internal import ModelSources
package import Support
package import Tensors

extension SchedulerKind {
  static let pndm = SchedulerKind(
    name: "pndm", title: "PLMS", aliases: [], className: "PNDMScheduler", overrides: [:]
  ) { (config, steps) throws(SchedulerError) in try PNDMScheduler(config, steps: steps) }
}

/// Pseudo numerical methods for diffusion models: linear multistep (PLMS) after initial Runge-Kutta
/// steps. Stable Diffusion's configs set `skip_prk_steps`, which leaves the Runge-Kutta steps out.
///
/// Liu et al., arXiv 2202.09778. Ported from diffusers' `PNDMScheduler`.
package struct PNDMScheduler: Scheduler {
  package let timesteps: [Float]
  package let initialNoiseSigma: Float = 1

  private let schedule: NoiseSchedule
  private let finalAlpha: Float
  private let prediction: PredictionType
  /// Timesteps between two steps, rounded down.
  private let stride: Int
  /// Number of U-Net calls in Runge-Kutta steps, which come first.
  private let rungeKuttaSteps: Int

  /// The step that the run starts at; calls are counted from it.
  private var first = 0
  private var outputs: [Tensor] = []
  private var start: Tensor?
  private var sum: Tensor?

  package init(_ json: JSONObject, steps: Int) throws(SchedulerError) {
    let config = SchedulerConfig(json, className: "PNDMScheduler")
    let skipsRungeKutta = try config.bool("skip_prk_steps", default: false)
    let training = try config.trainTimesteps()
    try checkSteps(
      steps, className: config.className, trainTimesteps: training,
      least: skipsRungeKutta ? 1 : Self.order)
    schedule = try NoiseSchedule(unscaled: config)
    finalAlpha =
      try config.bool("set_alpha_to_one", default: false) ? 1 : schedule.alphasCumprod[0]
    prediction = try config.predictionType()
    if prediction == .sample {
      throw config.unsupported(
        PredictionType.key,
        supported: [PredictionType.epsilon, .velocity].map { "'\($0.rawValue)'" })
    }
    let stride = training / steps
    self.stride = stride
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
    let calls: [Double]
    if skipsRungeKutta {
      // The second step is taken twice: the second time from the first step's start, with the mean
      // of both outputs.
      calls = (ascending.dropLast() + ascending.dropLast().suffix(1) + ascending.suffix(1))
        .reversed()
      rungeKuttaSteps = 0
    } else {
      let doubled = ascending.suffix(Self.order).flatMap { [$0, $0 + Double(stride / 2)] }
      let rungeKutta = doubled.dropLast().flatMap { [$0, $0] }.dropFirst().dropLast().reversed()
      calls = rungeKutta + ascending.dropLast(Self.order - 1).reversed()
      rungeKuttaSteps = rungeKutta.count
    }
    try checkTimesteps(calls, steps: steps, className: config.className, trainTimesteps: training)
    timesteps = calls.map { Float($0) }
  }

  private static let order = 4

  package func noisy(_ sample: Tensor, noise: Tensor, at step: Int) -> Tensor {
    schedule.noisy(sample, noise: noise, at: timesteps[step])
  }

  package mutating func begin(at step: Int) { first = step }

  package mutating func step(
    _ modelOutput: Tensor, at step: Int, sample: Tensor, noise: () -> Tensor
  ) -> Tensor {
    step - first < rungeKuttaSteps
      ? rungeKuttaStep(modelOutput, at: step, sample: sample)
      : linearStep(modelOutput, at: step, sample: sample)
  }

  /// One of the four calls of a Runge-Kutta step. Each starts from the latents of the first call.
  private mutating func rungeKuttaStep(
    _ modelOutput: Tensor, at step: Int, sample: Tensor
  ) -> Tensor {
    // As in diffusers, the origin is an index from the start of the run, which for image-to-image
    // is not the start of the schedule.
    let call = step - first
    let target = Int(timesteps[step]) - (call % 2 == 0 ? stride / 2 : 0)
    let origin = Int(timesteps[call / 4 * 4])
    var output = modelOutput
    switch call % 4 {
    case 0:
      sum = scaled(1 / 6, modelOutput)
      outputs.append(modelOutput)
      start = sample
    case 1, 2: sum = sum.map { combine(1, $0, 1 / 3, modelOutput) }
    default:
      output = sum.map { combine(1, $0, 1 / 6, modelOutput) } ?? modelOutput
      sum = nil
    }
    return previous(start ?? sample, from: origin, to: target, output)
  }

  private mutating func linearStep(
    _ modelOutput: Tensor, at step: Int, sample: Tensor
  ) -> Tensor {
    var sample = sample
    var origin = Int(timesteps[step])
    var target = origin - stride
    // As in diffusers, the count includes Runge-Kutta calls, so it is never 1 after them.
    if step - first == 1 {
      target = origin
      origin += stride
    } else {
      outputs = outputs.suffix(3) + [modelOutput]
    }
    var output = modelOutput
    let last = outputs.count - 1
    switch outputs.count {
    case 1 where step == first: start = sample
    case 1:
      output = combine(0.5, modelOutput, 0.5, outputs[0])
      sample = start ?? sample
      start = nil
    case 2: output = combine(1.5, outputs[last], -0.5, outputs[last - 1])
    case 3:
      output = combine(
        1 / 12, combine(23, outputs[last], -16, outputs[last - 1]), 5 / 12, outputs[last - 2])
    default:
      output = combine(
        1 / 24, combine(55, outputs[last], -59, outputs[last - 1]),
        1 / 24, combine(37, outputs[last - 2], -9, outputs[last - 3]))
    }
    return previous(sample, from: origin, to: target, output)
  }

  /// Equation (9) of the paper.
  private func previous(
    _ sample: Tensor, from timestep: Int, to target: Int, _ modelOutput: Tensor
  ) -> Tensor {
    let alpha = schedule.alphasCumprod[timestep]
    let next = target >= 0 ? schedule.alphasCumprod[target] : finalAlpha
    var output = modelOutput
    if prediction == .velocity {
      output = combine(alpha.squareRoot(), modelOutput, (1 - alpha).squareRoot(), sample)
    }
    let denominator =
      alpha * (1 - next).squareRoot() + (alpha * (1 - alpha) * next).squareRoot()
    return combine((next / alpha).squareRoot(), sample, -(next - alpha) / denominator, output)
  }
}

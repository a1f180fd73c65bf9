private import Foundation
internal import Support
internal import Tensors

/// The training noise schedule: `alphas_cumprod` at each timestep.
///
/// Computed in float32 and rounded where diffusers rounds, so that trajectories agree to float32
/// precision.
struct NoiseSchedule: Sendable {
  /// Cumulative products of `1 - beta`.
  private(set) var alphasCumprod: [Float]

  var count: Int { alphasCumprod.count }

  /// - Parameters:
  ///   - replacesTerminalZero: whether the last product is 2^-24 instead of zero when betas are
  ///     rescaled to zero terminal SNR, as schedulers that use sigmas do to keep them finite.
  ///   - defaults: the scheduler class's betas where the config has none.
  init(
    _ config: SchedulerConfig, replacesTerminalZero: Bool = false,
    defaults: BetaDefaults = .standard
  ) throws(SchedulerError) {
    var betas = try Self.betas(config, defaults: defaults)
    let isRescaled = try config.bool("rescale_betas_zero_snr", default: false)
    if isRescaled { betas = Self.rescaledToZeroTerminalSNR(betas) }
    alphasCumprod = Self.cumulativeProduct(betas.map { 1 - $0 })
    if isRescaled, replacesTerminalZero { alphasCumprod[count - 1] = 0x1p-24 }
  }

  /// A schedule for classes without `rescale_betas_zero_snr`.
  init(unscaled config: SchedulerConfig) throws(SchedulerError) {
    alphasCumprod = Self.cumulativeProduct(
      try Self.betas(config, defaults: .standard).map { 1 - $0 })
  }

  /// Standard deviation of the noise relative to the signal, by timestep.
  var sigmas: [Float] { alphasCumprod.map { ((1 - $0) / $0).squareRoot() } }

  enum BetaSchedule: String, CaseIterable {
    case linear
    case scaledLinear = "scaled_linear"
    case cosine = "squaredcos_cap_v2"
  }

  /// Defaults of `beta_start`, `beta_end` and `beta_schedule`.
  struct BetaDefaults {
    let start: Double
    let end: Double
    let schedule: BetaSchedule

    /// The defaults of every class but `LCMScheduler`.
    static let standard = BetaDefaults(start: 0.0001, end: 0.02, schedule: .linear)
  }

  private static func betas(
    _ config: SchedulerConfig, defaults: BetaDefaults
  ) throws(SchedulerError) -> [Float] {
    let count = try config.trainTimesteps()
    if let trained = config.json["trained_betas"], !trained.isNull {
      let numbers = trained.array?.compactMap(\.number) ?? []
      guard numbers.count == count, numbers.count == trained.array?.count else {
        throw .malformed(
          key: "trained_betas",
          found: trained.array.map { "an array of \($0.count)" } ?? trained.kind,
          expected: "\(count) numbers, as many as num_train_timesteps")
      }
      for beta in numbers where !(0..<1 ~= beta) {
        throw .outOfRange(key: "trained_betas", found: "\(beta)", expected: "0 to less than 1")
      }
      return numbers.map { Float($0) }
    }
    let start = try config.number("beta_start") ?? defaults.start
    let end = try config.number("beta_end") ?? defaults.end
    for (key, beta) in [("beta_start", start), ("beta_end", end)] where !(0..<1 ~= beta) {
      throw .outOfRange(key: key, found: "\(beta)", expected: "0 to less than 1")
    }
    switch try config.choice("beta_schedule", default: defaults.schedule) {
    case .linear: return line(from: Float(start), to: Float(end), count: count)
    case .scaledLinear:
      return line(from: Float(start.squareRoot()), to: Float(end.squareRoot()), count: count)
        .map { $0 * $0 }
    case .cosine:
      func alphaBar(_ index: Int) -> Double {
        let angle = (Double(index) / Double(count) + 0.008) / 1.008 * .pi / 2
        return cos(angle) * cos(angle)
      }
      return (0..<count).map { Float(min(1 - alphaBar($0 + 1) / alphaBar($0), 0.999)) }
    }
  }

  /// `torch.linspace` in float32, which computes each half from its own end, with fused
  /// multiply-adds.
  ///
  /// One last place matters: DPM-Solver truncates timesteps that are computed from sigmas.
  private static func line(from start: Float, to end: Float, count: Int) -> [Float] {
    guard count > 1 else { return [start] }
    let step = (end - start) / Float(count - 1)
    return (0..<count).map { index in
      index < count / 2
        ? start.addingProduct(step, Float(index))
        : end.addingProduct(-step, Float(count - index - 1))
    }
  }

  /// `torch.cumprod`, which accumulates in float64.
  private static func cumulativeProduct(_ factors: [Float]) -> [Float] {
    var product = 1.0
    return factors.map { factor in
      product *= Double(factor)
      return Float(product)
    }
  }

  /// Rescales betas to zero terminal SNR: Lin et al., arXiv 2305.08891, algorithm 1. Shifts and
  /// scales the square roots of the products so that the last is zero and the first is unchanged.
  private static func rescaledToZeroTerminalSNR(_ betas: [Float]) -> [Float] {
    var roots = cumulativeProduct(betas.map { 1 - $0 }).map { $0.squareRoot() }
    guard let first = roots.first, let last = roots.last else { return betas }
    roots = roots.map { ($0 - last) * (first / (first - last)) }
    let bars = roots.map { $0 * $0 }
    return bars.indices.map { 1 - (bars[$0] / ($0 == 0 ? 1 : bars[$0 - 1])) }
  }
}

extension NoiseSchedule {
  /// A sample with the noise of a timestep: `add_noise`.
  func noisy(_ sample: Tensor, noise: Tensor, at timestep: Float) -> Tensor {
    let alpha = alphasCumprod[min(max(Int(timestep), 0), count - 1)]
    return combine(alpha.squareRoot(), sample, (1 - alpha).squareRoot(), noise)
  }

  /// The sigma at a timestep, interpolated linearly: `numpy.interp`.
  static func interpolate(_ sigmas: [Float], at timestep: Double) -> Double {
    let low = min(max(Int(timestep), 0), sigmas.count - 1)
    if low == sigmas.count - 1 || timestep <= Double(low) { return Double(sigmas[low]) }
    let slope = Double(sigmas[low + 1]) - Double(sigmas[low])
    return slope * (timestep - Double(low)) + Double(sigmas[low])
  }

  /// The timestep of a sigma, interpolated linearly between logarithms of sigmas: `_sigma_to_t`.
  static func timestep(of sigma: Double, logSigmas: [Float]) -> Double {
    guard logSigmas.count > 1 else { return 0 }
    let target = log(max(sigma, 1e-10))
    let index = logSigmas.lastIndex { Double($0) <= target } ?? 0
    let low = min(index, logSigmas.count - 2)
    let span = Double(logSigmas[low] - logSigmas[low + 1])
    let weight = min(max((Double(logSigmas[low]) - target) / span, 0), 1)
    return (1 - weight) * Double(low) + weight * Double(low + 1)
  }

  /// Karras sigmas in descending order: Karras et al., arXiv 2206.00364, equation 5, rho 7.
  static func karras(from largest: Double, to smallest: Double, count: Int) -> [Double] {
    let rho = 7.0
    let start = pow(largest, 1 / rho)
    let end = pow(smallest, 1 / rho)
    return unitRamp(count).map { pow(start + $0 * (end - start), rho) }
  }

  /// Sigmas with evenly spaced logarithms, in descending order.
  static func exponential(from largest: Double, to smallest: Double, count: Int) -> [Double] {
    unitRamp(count).map { exp(log(largest) + $0 * (log(smallest) - log(largest))) }
  }

  /// `numpy.linspace(0, 1, count)`.
  private static func unitRamp(_ count: Int) -> [Double] {
    (0..<count).map { count == 1 ? 0 : Double($0) / Double(count - 1) }
  }
}

/// Timestep spacings in ascending order: `timestep_spacing` of diffusers.
enum Timesteps {
  /// `numpy.linspace(0, last, count)`.
  static func linspace(last: Int, count: Int) -> [Double] {
    guard count > 1 else { return [0] }
    let step = Double(last) / Double(count - 1)
    return (0..<count).map { $0 == count - 1 ? Double(last) : Double($0) * step }
  }

  /// Multiples of a whole ratio plus an offset.
  static func leading(ratio: Int, count: Int, offset: Int) -> [Double] {
    (0..<count).map { Double($0 * ratio + offset) }
  }

  /// Counts down from the last timestep by a ratio that need not be whole, rounded half to even.
  ///
  /// diffusers' `numpy.arange` gives an extra timestep, -1, for a few step counts, the first being
  /// 61 of 1000. This function always gives `count`.
  static func trailing(last: Int, ratio: Double, count: Int) -> [Double] {
    (0..<count).map { (Double(last) - Double($0) * ratio).rounded(.toNearestOrEven) - 1 }.reversed()
  }
}

import Sampling
import Support
import Testing

/// Config keys that are absent, and the same keys with an unusual value, compared with diffusers.
@Suite("Defaults of scheduler configs")
struct SchedulerDefaultsTests {
  /// The keys that each class reads, except for those that it only refuses.
  static let keys: [String: Set<String>] = {
    let common: Set = [
      "num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type",
    ]
    let spaced = common.union(["timestep_spacing", "steps_offset"])
    let sigmas: Set = [
      "use_karras_sigmas", "use_exponential_sigmas", "final_sigmas_type", "sigma_min", "sigma_max",
      "rescale_betas_zero_snr",
    ]
    return [
      "pndm": spaced.union(["skip_prk_steps", "set_alpha_to_one"]),
      "ddim": spaced.union([
        "rescale_betas_zero_snr", "clip_sample", "clip_sample_range", "set_alpha_to_one",
      ]),
      "euler": spaced.union(sigmas).union(["interpolation_type", "timestep_type"]),
      "euler-a": spaced.union(["rescale_betas_zero_snr"]),
      "dpm++2m": spaced.union(sigmas).union([
        "solver_order", "solver_type", "lower_order_final", "euler_at_final", "lambda_min_clipped",
      ]),
      "lcm": common.union([
        "rescale_betas_zero_snr", "original_inference_steps", "timestep_scaling", "clip_sample",
        "clip_sample_range",
      ]),
    ]
  }()

  static func cases(_ name: String) throws -> [JSONObject] {
    try golden("scheduler-defaults.json").array("cases").compactMap(\.object)
      .filter { $0["name"] == .string(name) }
  }

  @Test("are diffusers'", arguments: keys.keys.sorted())
  func trajectories(name: String) throws {
    let cases = try Self.cases(name)
    #expect(!cases.isEmpty)
    for entry in cases { try SchedulerTests.checkTrajectory(entry) }
  }

  @Test(
    "are tested for every key, whose unusual value has an effect", arguments: keys.keys.sorted())
  func coverage(name: String) throws {
    let cases = try Self.cases(name)
    #expect(Set(cases.compactMap { $0["key"]?.string }) == Self.keys[name])
    // One case has no key at all.
    #expect(cases.contains { $0["config"] == [:] })
    for entry in cases {
      guard let key = entry["key"]?.string else { continue }
      let base = try #require(
        cases.first { $0["key"]?.isNull == true && $0["base"] == entry["base"] })
      #expect(base["config"]?.object?[key] == nil)
      #expect(base["last"]?.string != entry["last"]?.string, "\(key)")
    }
  }

  /// A null key is an absent key.
  @Test("apply to null", arguments: Schedulers.all.map(\.name))
  func null(name: String) throws {
    let config = try #require(Self.keys[name] ?? Self.keys["dpm++2m"])
    let nulls = JSONObject(config.sorted().map { ($0, .null) })
    #expect(
      try Schedulers.make(name: name, config: nulls, steps: 4).timesteps
        == Schedulers.make(name: name, config: [:], steps: 4).timesteps)
  }
}

import Foundation
import ModelSources
import Models
import Sampling
import Support
import Tensors
import Testing

@Suite("Schedulers")
struct SchedulerTests {
  /// Largest error of a trajectory relative to its largest value. The formulas are diffusers' in
  /// float32, associated differently, so rounding differs in each step.
  static let tolerance = 1e-5

  /// The function that replaces the U-Net in make_sampling.py.
  static func model(_ x: Tensor, _ timestep: Float) -> Tensor {
    Tensor(
      shape: x.shape,
      values: x.values.map { value in
        let x = Double(value)
        return Float(0.8 * x / (1 + abs(x)) + 0.1 * cos(0.01 * Double(timestep) + x))
      })
  }

  @Test("have diffusers' timesteps, sigmas and trajectories")
  func trajectories() throws {
    var worst: [String: Double] = [:]
    for case .object(let entry) in try golden("schedulers.json").array("cases") {
      let name = try entry.string("name")
      worst[name] = max(worst[name] ?? 0, try Self.checkTrajectory(entry))
    }
    for (name, error) in worst.sorted(by: { $0.key < $1.key }) {
      print("\(name): largest error of a trajectory \(error)")
    }
  }

  /// Compares a scheduler with a case of a golden file.
  ///
  /// - Returns: the largest error of the trajectory.
  @discardableResult
  static func checkTrajectory(_ entry: JSONObject) throws -> Double {
    let name = try entry.string("name")
    let steps = try entry.integer("steps")
    let config = try entry.object("config")
    var scheduler = try scheduler(name, config, steps)
    let about = Comment("\(name), \(steps) steps, \(JSONValue.object(config).text())")
    // Whole timesteps are equal; those of Karras sigmas are computed with logarithms.
    #expect(largestError(scheduler.timesteps, try entry.floats("timesteps")) < 1e-6, about)
    #expect(
      largestError([scheduler.initialNoiseSigma], [Float(try #require(entry["initial"]?.number))])
        < 1e-6, about)
    if let sigmas = entry["sigmas"]?.floats {
      #expect(largestError(Self.sigmas(of: scheduler), sigmas) < 1e-6, about)
    }
    guard entry["last"]?.isNull == false else { return 0 }
    var generator = TorchGenerator(seed: 11)
    let shape: Shape = [1, 4, 2, 3]
    var x = generator.randn(shape)
    x.values = x.values.map { $0 * scheduler.initialNoiseSigma }
    var path: [Tensor] = []
    for (index, timestep) in scheduler.timesteps.enumerated() {
      let output = model(scheduler.modelInput(x, at: index), timestep)
      x = scheduler.step(output, at: index, sample: x) { generator.randn(shape) }
      path.append(x)
    }
    let errors = [
      largestError(path[path.count / 2].values, try entry.floats("middle")),
      largestError(x.values, try entry.floats("last")),
    ]
    for error in errors { #expect(error < tolerance, about) }
    return errors.reduce(0) { max($0, $1) }
  }

  /// Made from the config alone, because a name would apply its overrides.
  static func scheduler(
    _ name: String, _ config: JSONObject, _ steps: Int
  ) throws -> any Scheduler {
    var config = config
    config["_class_name"] = .string(try Schedulers.named(name).className)
    return try Schedulers.make(name: nil, config: config, steps: steps)
  }

  static func sigmas(of scheduler: any Scheduler) -> [Float] {
    switch scheduler {
    case let scheduler as EulerDiscreteScheduler: scheduler.sigmas
    case let scheduler as EulerAncestralDiscreteScheduler: scheduler.sigmas
    case let scheduler as DPMSolverMultistepScheduler: scheduler.sigmas
    default: []
    }
  }

  @Test("have names and classes")
  func names() throws {
    #expect(
      Schedulers.all.map(\.name)
        == ["pndm", "ddim", "euler", "euler-a", "dpm++2m", "dpm++2m-karras", "lcm"])
    #expect(try Schedulers.named("Euler-A").className == "EulerAncestralDiscreteScheduler")
  }

  @Test("are found by a config's class and values")
  func described() throws {
    var config: JSONObject = ["_class_name": "DPMSolverMultistepScheduler"]
    #expect(try Schedulers.described(by: config).name == "dpm++2m")
    config["use_karras_sigmas"] = true
    config["algorithm_type"] = "dpmsolver++"
    config["solver_order"] = 2
    #expect(try Schedulers.described(by: config).name == "dpm++2m-karras")
    let architecture = try #require(Family.named("sd-v1-4")).architecture
    #expect(try Schedulers.described(by: architecture.scheduler).name == "pndm")
  }

  @Test("override the config by name")
  func overrides() throws {
    let config: JSONObject = [
      "_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": true, "solver_order": 1,
    ]
    let plain = try Schedulers.make(name: "dpm++2m", config: config, steps: 10)
    let karras = try Schedulers.make(name: "dpm++2m-karras", config: config, steps: 10)
    #expect(plain.timesteps != karras.timesteps)
    #expect(try Schedulers.make(name: nil, config: config, steps: 10).timesteps == karras.timesteps)
  }

  @Test("correct early configs as StableDiffusionPipeline does")
  func corrections() throws {
    let architecture = try #require(Family.named("sd-v1-4")).architecture
    let early: JSONObject = ["_class_name": "DDIMScheduler"]
    let corrected = Schedulers.corrected(early, name: nil, for: architecture)
    #expect(corrected["steps_offset"] == 1 && corrected["clip_sample"] == false)
    let other = Schedulers.corrected(early, name: "euler", for: architecture)
    #expect(other == early, "another class keeps its own defaults")
    let stated: JSONObject = [
      "_class_name": "PNDMScheduler", "steps_offset": 0, "clip_sample": true,
    ]
    let named = Schedulers.corrected(stated, name: "ddim", for: architecture)
    #expect(named["steps_offset"] == 1 && named["clip_sample"] == false)
    let xl = try #require(Family.named("sdxl-base-1.0")).architecture
    #expect(Schedulers.corrected(stated, name: "ddim", for: xl) == stated)
  }

  /// diffusers' `LCMScheduler().set_timesteps(n)`.
  @Test(
    "space LCM timesteps among those of distillation",
    arguments: [
      (1, [999]), (4, [999, 759, 499, 259]), (6, [999, 839, 679, 499, 339, 179]),
    ] as [(Int, [Float])])
  func distilledTimesteps(steps: Int, timesteps: [Float]) throws {
    #expect(try Schedulers.make(name: "lcm", config: [:], steps: steps).timesteps == timesteps)
  }

  // MARK: - Refusals

  @Test(
    "refuse unsupported configs",
    arguments: [
      (
        "heun", [:], 20,
        "scheduler 'heun' is unknown; expected pndm, ddim, euler, euler-a, dpm++2m, dpm++2m-karras or "
          + "lcm"
      ),
      (
        nil, ["_class_name": "LMSDiscreteScheduler"], 20,
        "the scheduler config's class is 'LMSDiscreteScheduler', which Decant does not support"
      ),
      (
        "ddim", ["thresholding": true], 20,
        "the scheduler config's 'thresholding' is true, which Decant's DDIMScheduler does not support; "
          + "expected false"
      ),
      (
        "euler", ["beta_schedule": "sigmoid"], 20,
        "the scheduler config's 'beta_schedule' is 'sigmoid', which Decant's EulerDiscreteScheduler "
          + "does not support; expected 'linear' or 'scaled_linear' or 'squaredcos_cap_v2'"
      ),
      (
        "ddim", ["num_train_timesteps": "many"], 20,
        "the scheduler config's 'num_train_timesteps' is a string, expected a whole number"
      ),
      (
        "ddim", ["num_train_timesteps": 0], 20,
        "the scheduler config's 'num_train_timesteps' is 0, expected 1 to 1000000"
      ),
      (
        "ddim", ["steps_offset": 4_000_000_000_000_000_000], 20,
        "the scheduler config's 'steps_offset' is 4000000000000000000, expected 0 to less than 1000"
      ),
      (
        "ddim", ["beta_start": 2.5], 20,
        "the scheduler config's 'beta_start' is 2.5, expected 0 to less than 1"
      ),
      (
        "euler", ["sigma_max": -3], 20,
        "the scheduler config's 'sigma_max' is -3.0, expected more than 0 and less than 1e9"
      ),
      (
        "dpm++2m-karras", ["sigma_min": 0], 20,
        "the scheduler config's 'sigma_min' is 0.0, expected more than 0 and less than 1e9"
      ),
      (
        "lcm", ["original_inference_steps": 0], 4,
        "the scheduler config's 'original_inference_steps' is 0, expected 1 to 1000"
      ),
      ("lcm", [:], 51, "LCMScheduler cannot run 51 steps; expected 1 to 50"),
      (
        "ddim", ["trained_betas": [0.1, 0.2]], 20,
        "the scheduler config's 'trained_betas' is an array of 2, expected 1000 numbers, as many "
          + "as num_train_timesteps"
      ),
      ("ddim", [:], 0, "DDIMScheduler cannot run 0 steps; expected 1 to 1000"),
      ("ddim", [:], 1001, "DDIMScheduler cannot run 1001 steps; expected 1 to 1000"),
      (
        "pndm", [:], 3, "PNDMScheduler cannot run 3 steps; expected 4 to 1000"
      ),
      (
        "pndm", ["skip_prk_steps": true, "steps_offset": 1], 1000,
        "1000 steps of PNDMScheduler reach timestep 1000, but the training schedule has 0 to 999"
      ),
      (
        "pndm", ["skip_prk_steps": true, "prediction_type": "sample"], 20,
        "the scheduler config's 'prediction_type' is 'sample', which Decant's PNDMScheduler does not support; "
          + "expected 'epsilon' or 'v_prediction'"
      ),
      (
        nil, ["_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++"],
        20,
        "the scheduler config's 'algorithm_type' is 'sde-dpmsolver++', which "
          + "Decant's DPMSolverMultistepScheduler does not support; expected 'dpmsolver++' or 'deis'"
      ),
      (
        nil, ["_class_name": "DPMSolverMultistepScheduler", "solver_order": 3], 20,
        "the scheduler config's 'solver_order' is 3, which Decant's DPMSolverMultistepScheduler "
          + "does not support; expected 1 or 2"
      ),
      (
        "dpm++2m", ["lambda_min_clipped": 50], 20,
        "the scheduler config's 'lambda_min_clipped' is 50.0, expected a number that leaves more "
          + "timesteps than the 20 steps"
      ),
      (
        "euler", ["use_karras_sigmas": true, "use_exponential_sigmas": true], 20,
        "the scheduler config's 'use_exponential_sigmas' is true, which Decant's EulerDiscreteScheduler "
          + "does not support; expected false"
      ),
      (
        "euler", ["use_karras_sigmas": true, "sigma_min": 9, "sigma_max": 2], 20,
        "the scheduler config's 'sigma_min' is 9.0, expected no more than the largest, 2.0"
      ),
      (
        "dpm++2m-karras", ["sigma_min": 9, "sigma_max": 2], 20,
        "the scheduler config's 'sigma_min' is 9.0, expected no more than the largest, 2.0"
      ),
      (
        "euler", ["sigma_max": .number(.infinity)], 20,
        "the scheduler config's 'sigma_max' is inf, expected more than 0 and less than 1e9"
      ),
      (
        "euler", ["sigma_min": .number(.nan)], 20,
        "the scheduler config's 'sigma_min' is nan, expected more than 0 and less than 1e9"
      ),
      (
        "ddim", ["clip_sample_range": -1], 20,
        "the scheduler config's 'clip_sample_range' is -1.0, expected more than 0 and less than 1e9"
      ),
      (
        "ddim", ["beta_start": .number(.nan)], 20,
        "the scheduler config's 'beta_start' is nan, expected 0 to less than 1"
      ),
      (
        "ddim", ["beta_end": -0.5], 20,
        "the scheduler config's 'beta_end' is -0.5, expected 0 to less than 1"
      ),
      (
        "euler-a", ["timestep_spacing": "loose"], 20,
        "the scheduler config's 'timestep_spacing' is 'loose', which "
          + "Decant's EulerAncestralDiscreteScheduler does not support; expected 'leading' or 'linspace' or "
          + "'trailing'"
      ),
      (
        "lcm", ["prediction_type": "flow"], 4,
        "the scheduler config's 'prediction_type' is 'flow', which Decant's LCMScheduler does not support; "
          + "expected 'epsilon' or 'sample' or 'v_prediction'"
      ),
    ] as [(String?, JSONObject, Int, String)])
  func refusals(name: String?, config: JSONObject, steps: Int, sentence: String) {
    do throws(SchedulerError) {
      _ = try Schedulers.make(name: name, config: config, steps: steps)
      Issue.record("not refused")
    } catch {
      #expect(error.description == sentence)
    }
  }

  /// Each config gives finite latents or is refused.
  @Test("refuse extreme numbers", arguments: Schedulers.all.map(\.name))
  func extremes(name: String) throws {
    for config in [
      ["beta_start": 0, "beta_end": 0], ["beta_start": 0.9, "beta_end": 0.999],
      ["sigma_min": 5, "sigma_max": 5], ["sigma_min": 9e8, "sigma_max": 1e-30],
      ["clip_sample": true, "clip_sample_range": -1], ["timestep_scaling": 1e-300],
      ["rescale_betas_zero_snr": true, "timestep_spacing": "trailing"],
      ["num_train_timesteps": 1, "steps_offset": 0, "original_inference_steps": 1],
    ] as [JSONObject] {
      for steps in [1, 4] {
        var config = config
        config["skip_prk_steps"] = true
        do throws(SchedulerError) {
          var scheduler = try Schedulers.make(name: name, config: config, steps: steps)
          var x = Tensor(shape: [2], values: [scheduler.initialNoiseSigma, -0.3])
          for index in scheduler.timesteps.indices {
            let input = scheduler.modelInput(x, at: index)
            x = scheduler.step(input, at: index, sample: x) { Tensor(shape: [2], values: [1, 0]) }
          }
          #expect(x.values.allSatisfy { $0.isFinite }, "\(JSONValue.object(config).text())")
        } catch {
          switch error {
          case .notFinite, .outOfRange, .steps, .timestep: break
          default: Issue.record("\(error)")
          }
        }
      }
    }
  }

  /// These latents stay finite, but grow without bound.
  @Test("refuse unbounded latents")
  func boundless() {
    #expect(throws: SchedulerError.notFinite(className: "PNDMScheduler", step: 1)) {
      _ = try Schedulers.make(
        name: "pndm",
        config: [
          "beta_start": 0.5, "beta_end": 0.5, "num_train_timesteps": 100, "skip_prk_steps": true,
          "timestep_spacing": "trailing",
        ], steps: 1)
    }
  }

  @Test("report infinite latents with a remedy")
  func notFinite() throws {
    let error = try #require(throws: SchedulerError.self) {
      _ = try Schedulers.make(name: "euler", config: ["beta_start": 0, "beta_end": 0], steps: 3)
    }
    #expect(
      error.description
        == "the scheduler config's numbers (betas, sigmas, prediction_type) lead to infinite, NaN or "
        + "unbounded latents at step 1 of EulerDiscreteScheduler")
    #expect(
      error.remedy
        == .either([.act("correct them"), .adjust(.scheduler, .other)]))
  }

  @Test("refuse models of EDM's continuous noise, even by name", arguments: [nil, "ddim", "euler"])
  func continuousNoise(name: String?) {
    #expect(throws: SchedulerError.self) {
      try Schedulers.make(name: name, config: ["_class_name": "EDMEulerScheduler"], steps: 4)
    }
    let error = SchedulerError.unknownClass("EDMEulerScheduler", known: ["ddim"])
    #expect(error.description.contains("continuous noise"))
    #expect(error.remedy == nil)
    #expect(
      SchedulerError.unknownClass("LMSDiscreteScheduler", known: ["pndm", "ddim", "lcm"]).remedy
        == .choose(.scheduler, purpose: "with pndm, ddim or lcm"))
    #expect(
      SchedulerError.timestep(1000, steps: 1000, className: "PNDMScheduler", trainTimesteps: 1000)
        .remedy == .act("choose fewer steps or another steps_offset"))
  }
}

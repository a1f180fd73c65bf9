import Foundation
import ModelSources
import Models
import Sampling
import Support
import Tensors
import Testing

@Suite("Schedulers")
struct SchedulerTests {
  /// Largest error of a trajectory, over its largest number. Coefficients are the same float32
  /// formulas as diffusers', associated differently; what differs is the last place, many times.
  static let tolerance = 1e-5

  /// The stand-in for a U-Net of make_sampling.py.
  static func model(_ x: Tensor, _ timestep: Float) -> Tensor {
    Tensor(
      shape: x.shape,
      values: x.values.map { value in
        let x = Double(value)
        return Float(0.8 * x / (1 + abs(x)) + 0.1 * cos(0.01 * Double(timestep) + x))
      })
  }

  @Test("take diffusers' timesteps, sigmas and trajectories")
  func trajectories() throws {
    var worst: [String: Double] = [:]
    for case .object(let entry) in try golden("schedulers.json").array("cases") {
      let name = try entry.string("name")
      let steps = try entry.integer("steps")
      let config = try entry.object("config")
      var scheduler = try Self.scheduler(name, config, steps)
      let about = Comment("\(name), \(steps) steps, \(JSONValue.object(config).text())")
      // Whole ones are equal; those of Euler's Karras spacing come from logarithms.
      #expect(largestError(scheduler.timesteps, try entry.floats("timesteps")) < 1e-6, about)
      #expect(
        largestError([scheduler.initialNoiseSigma], [Float(try #require(entry["initial"]?.number))])
          < 1e-6, about)
      if let sigmas = entry["sigmas"]?.floats {
        #expect(largestError(Self.sigmas(scheduler), sigmas) < 1e-6, about)
      }
      guard entry["last"]?.isNull == false else { continue }
      var generator = TorchGenerator(seed: 11)
      let shape: Shape = [1, 4, 2, 3]
      var x = generator.randn(shape)
      x.values = x.values.map { $0 * scheduler.initialNoiseSigma }
      var path: [Tensor] = []
      for (index, timestep) in scheduler.timesteps.enumerated() {
        let output = Self.model(scheduler.modelInput(x, at: index), timestep)
        x = scheduler.step(output, at: index, sample: x) { generator.randn(shape) }
        path.append(x)
      }
      for (found, key) in [(path[path.count / 2], "middle"), (x, "last")] {
        let error = largestError(found.values, try entry.floats(key))
        #expect(error < Self.tolerance, about)
        worst[name] = max(worst[name] ?? 0, error)
      }
    }
    for (name, error) in worst.sorted(by: { $0.key < $1.key }) {
      print("\(name): largest error of a trajectory \(error)")
    }
  }

  /// The golden configs say what they are, so that nothing must be overridden by the name.
  static func scheduler(
    _ name: String, _ config: JSONObject, _ steps: Int
  ) throws -> any Scheduler {
    var config = config
    config["_class_name"] = .string(try Schedulers.named(name).className)
    return try Schedulers.make(name: nil, config: config, steps: steps)
  }

  static func sigmas(_ scheduler: any Scheduler) -> [Float] {
    switch scheduler {
    case let scheduler as EulerDiscreteScheduler: scheduler.sigmas
    case let scheduler as EulerAncestralDiscreteScheduler: scheduler.sigmas
    case let scheduler as DPMSolverMultistepScheduler: scheduler.sigmas
    default: []
    }
  }

  @Test("have names and classes of their own")
  func names() throws {
    #expect(
      Schedulers.all.map(\.name)
        == ["pndm", "ddim", "euler", "euler-a", "dpm++2m", "dpm++2m-karras", "lcm"])
    #expect(try Schedulers.named("Euler-A").className == "EulerAncestralDiscreteScheduler")
  }

  @Test("know what a config describes")
  func described() throws {
    var config: JSONObject = ["_class_name": "DPMSolverMultistepScheduler"]
    #expect(try Schedulers.described(by: config).name == "dpm++2m")
    config["use_karras_sigmas"] = true
    config["algorithm_type"] = "dpmsolver++"
    config["solver_order"] = 2
    #expect(try Schedulers.described(by: config).name == "dpm++2m-karras")
    let line = try #require(Family.named("sd-v1-4")).architecture
    #expect(try Schedulers.described(by: line.scheduler).name == "pndm")
  }

  @Test("mean what their names say, whatever the config says")
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
    let line = try #require(Family.named("sd-v1-4")).architecture
    let early: JSONObject = ["_class_name": "DDIMScheduler"]
    let corrected = Schedulers.corrected(early, name: nil, for: line)
    #expect(corrected["steps_offset"] == 1 && corrected["clip_sample"] == false)
    let other = Schedulers.corrected(early, name: "euler", for: line)
    #expect(other == early, "another class takes its own defaults")
    let stated: JSONObject = [
      "_class_name": "PNDMScheduler", "steps_offset": 0, "clip_sample": true,
    ]
    let named = Schedulers.corrected(stated, name: "ddim", for: line)
    #expect(named["steps_offset"] == 1 && named["clip_sample"] == false)
    let xl = try #require(Family.named("sdxl-base-1.0")).architecture
    #expect(Schedulers.corrected(stated, name: "ddim", for: xl) == stated)
  }

  /// diffusers' `LCMScheduler().set_timesteps(n)`.
  @Test(
    "take the timesteps that a consistency model was distilled with",
    arguments: [
      (1, [999]), (4, [999, 759, 499, 259]), (6, [999, 839, 679, 499, 339, 179]),
    ] as [(Int, [Float])])
  func distilledTimesteps(steps: Int, timesteps: [Float]) throws {
    #expect(try Schedulers.make(name: "lcm", config: [:], steps: steps).timesteps == timesteps)
  }

  // MARK: - Refusals

  @Test(
    "refuse what they do not do, in a sentence",
    arguments: [
      (
        "heun", [:], 20,
        "there is no scheduler 'heun'; choose one of pndm, ddim, euler, euler-a, dpm++2m, dpm++2m-karras, lcm"
      ),
      (
        nil, ["_class_name": "LMSDiscreteScheduler"], 20,
        "the scheduler config asks for 'LMSDiscreteScheduler', which Decant does not have; choose one "
          + "with --scheduler: pndm, ddim, euler, euler-a, dpm++2m, dpm++2m-karras, lcm"
      ),
      (
        "ddim", ["thresholding": true], 20,
        "the scheduler config's 'thresholding' is true, which DDIMScheduler does not do here; "
          + "expected false"
      ),
      (
        "euler", ["beta_schedule": "sigmoid"], 20,
        "the scheduler config's 'beta_schedule' is 'sigmoid', which EulerDiscreteScheduler does not "
          + "do here; expected 'linear' or 'scaled_linear' or 'squaredcos_cap_v2'"
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
      ("lcm", [:], 51, "LCMScheduler cannot take 51 steps; choose 1 to 50"),
      (
        "ddim", ["trained_betas": [0.1, 0.2]], 20,
        "the scheduler config's 'trained_betas' is an array of 2, expected 1000 numbers, one for each "
          + "of num_train_timesteps"
      ),
      ("ddim", [:], 0, "DDIMScheduler cannot take 0 steps; choose 1 to 1000"),
      ("ddim", [:], 1001, "DDIMScheduler cannot take 1001 steps; choose 1 to 1000"),
      (
        "pndm", [:], 3, "PNDMScheduler cannot take 3 steps; choose 4 to 1000"
      ),
      (
        "pndm", ["skip_prk_steps": true, "steps_offset": 1], 1000,
        "1000 steps of PNDMScheduler reach timestep 1000, but the schedule has 0 to 999; choose fewer "
          + "steps or another steps_offset"
      ),
      (
        "pndm", ["skip_prk_steps": true, "prediction_type": "sample"], 20,
        "the scheduler config's 'prediction_type' is 'sample', which PNDMScheduler does not do here; "
          + "expected 'epsilon' or 'v_prediction'"
      ),
      (
        nil, ["_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++"],
        20,
        "the scheduler config's 'algorithm_type' is 'sde-dpmsolver++', which "
          + "DPMSolverMultistepScheduler does not do here; expected 'dpmsolver++' or 'deis'"
      ),
      (
        nil, ["_class_name": "DPMSolverMultistepScheduler", "solver_order": 3], 20,
        "the scheduler config's 'solver_order' is 3, which DPMSolverMultistepScheduler does not do "
          + "here; expected 1 or 2"
      ),
      (
        "dpm++2m", ["lambda_min_clipped": 50], 20,
        "the scheduler config's 'lambda_min_clipped' is 50.0, expected a number that leaves more "
          + "timesteps than the 20 steps"
      ),
      (
        "euler", ["use_karras_sigmas": true, "use_exponential_sigmas": true], 20,
        "the scheduler config's 'use_exponential_sigmas' is true, which EulerDiscreteScheduler does "
          + "not do here; expected false"
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
          + "EulerAncestralDiscreteScheduler does not do here; expected 'leading' or 'linspace' or "
          + "'trailing'"
      ),
      (
        "lcm", ["prediction_type": "flow"], 4,
        "the scheduler config's 'prediction_type' is 'flow', which LCMScheduler does not do here; "
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

  /// What each config does to each scheduler: latents, or a refusal; never latents that are none.
  @Test("refuse numbers that lead nowhere", arguments: Schedulers.all.map(\.name))
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

  /// Finite numbers of which no picture comes.
  @Test("refuse latents without bounds")
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

  @Test("say that numbers lead nowhere")
  func notFinite() throws {
    let error = try #require(throws: SchedulerError.self) {
      _ = try Schedulers.make(name: "euler", config: ["beta_start": 0, "beta_end": 0], steps: 3)
    }
    #expect(
      error.description
        == "the scheduler config's numbers (betas, sigmas, prediction_type) give "
        + "EulerDiscreteScheduler infinite or undefined latents at step 1; correct them, or choose "
        + "another scheduler with --scheduler")
  }

  /// Not even where another scheduler is asked for.
  @Test(arguments: [nil, "ddim", "euler"]) func modelsOfContinuousNoiseAreRefused(name: String?) {
    #expect(throws: SchedulerError.self) {
      try Schedulers.make(name: name, config: ["_class_name": "EDMEulerScheduler"], steps: 4)
    }
    let reason = SchedulerError.unknownClass("EDMEulerScheduler", known: ["ddim"]).description
    #expect(reason.contains("continuous noise") && !reason.contains("--scheduler"))
  }
}

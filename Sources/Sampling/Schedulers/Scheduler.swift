package import ModelSources
package import Support
package import Tensors

/// A diffusion scheduler: the timesteps of a run and the update of the latents at each.
///
/// A scheduler serves one run and keeps state between steps: call ``step(_:at:sample:noise:)`` once
/// for each entry of ``timesteps``, in order.
package protocol Scheduler: Sendable {
  /// The U-Net's `timestep` input of each call, in the order of sampling.
  var timesteps: [Float] { get }

  /// The factor of the initial unit noise: `init_noise_sigma`.
  var initialNoiseSigma: Float { get }

  /// The U-Net's `sample` input at a step: `scale_model_input`.
  func modelInput(_ sample: Tensor, at step: Int) -> Tensor

  /// The latents after a step.
  ///
  /// - Parameters:
  ///   - modelOutput: the U-Net's prediction after guidance.
  ///   - step: index into ``timesteps``.
  ///   - sample: the latents before the step, not scaled by ``modelInput(_:at:)``.
  ///   - noise: draws unit noise of the latents' shape; ancestral schedulers call it once per step.
  mutating func step(
    _ modelOutput: Tensor, at step: Int, sample: Tensor, noise: () -> Tensor
  ) -> Tensor

  /// A sample with the noise level at which a step starts: `add_noise`.
  func noisy(_ sample: Tensor, noise: Tensor, at step: Int) -> Tensor

  /// Sets the first step of a run that does not start at step 0.
  mutating func begin(at step: Int)
}

extension Scheduler {
  package mutating func begin(at step: Int) {}
  package func modelInput(_ sample: Tensor, at step: Int) -> Tensor { sample }
}

/// One entry of ``Schedulers/all``.
package struct SchedulerKind: Sendable {
  /// The name that users choose the scheduler by.
  package let name: String
  /// The name in A1111's `parameters` text.
  package let title: String
  /// Names in other programs, such as ComfyUI, InvokeAI and k-diffusion. ``Schedulers/named(_:)``
  /// also finds ``name``, ``title`` and ``className``, and ignores how words are separated.
  package let aliases: [String]
  /// diffusers' class: `_class_name` of `scheduler_config.json`.
  package let className: String
  /// Config values that the name implies, which replace those of the model's config.
  package let overrides: JSONObject
  let make: @Sendable (JSONObject, Int) throws(SchedulerError) -> any Scheduler

  /// Every name that finds the scheduler.
  fileprivate var names: [String] { [name, title, className] + aliases }

  /// Makes the scheduler from a config, which may be another class's, with ``overrides`` applied.
  package func scheduler(
    config: JSONObject, steps: Int
  ) throws(SchedulerError) -> any Scheduler {
    var config = config
    for (key, value) in overrides.members { config[key] = value }
    return try make(config, steps)
  }
}

/// The list of schedulers.
package enum Schedulers {
  package static let all: [SchedulerKind] = [
    .pndm, .ddim, .euler, .eulerAncestral, .dpmSolverMultistep, .dpmSolverMultistepKarras, .lcm,
  ]

  /// Finds a scheduler by its name, title, class or alias. Case, spaces, hyphens and underscores are
  /// ignored, and `++` equals `pp`. Of schedulers with the same class, the class's name finds the
  /// first.
  package static func named(_ name: String) throws(SchedulerError) -> SchedulerKind {
    // Class names end in `Scheduler`.
    let ending = "scheduler"
    if let kind = member(named: name, of: all, optionalEnding: ending, names: \.names) {
      return kind
    }
    let similar = similarMembers(to: name, of: all, optionalEnding: ending, names: \.names).first
    throw .unknownName(name, similar: similar?.name, known: all.map(\.name))
  }

  /// Finds the scheduler of a config's class. If there are more, the one whose overrides match the
  /// config.
  package static func described(by config: JSONObject) throws(SchedulerError) -> SchedulerKind {
    let className = config[ModelSource.schedulerClass]?.string ?? ""
    let kinds = all.filter { $0.className == className }
    guard let first = kinds.first else {
      throw .unknownClass(className, known: all.map(\.name))
    }
    return kinds.first { kind in
      kind.overrides.members.allSatisfy { config[$0.key] == $0.value }
    } ?? first
  }

  /// Whether the training noise of models with a scheduler of that diffusers class is known: that of
  /// Stable Diffusion, or EDM's.
  package static func knowsTrainingNoise(ofClass className: String) -> Bool {
    all.contains { $0.className == className } || otherClasses.contains(className)
      || SchedulerError.isContinuous(className)
  }

  /// Further classes of diffusers for models with the training noise of Stable Diffusion: diffusers
  /// 0.42.1, `KarrasDiffusionSchedulers`, with variants of those and distilled models' classes.
  private static let otherClasses: Set = [
    "DDIMInverseScheduler", "DDIMParallelScheduler", "DDPMParallelScheduler", "DDPMScheduler",
    "DEISMultistepScheduler", "DPMSolverMultistepInverseScheduler", "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler", "HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler", "LMSDiscreteScheduler", "SASolverScheduler", "TCDScheduler",
    "UniPCMultistepScheduler",
  ]

  /// Makes a scheduler by name, or of the config's class if `name` is `nil`.
  ///
  /// A name works as `Class.from_config(pipeline.scheduler.config)` in diffusers: the class reads
  /// the keys that it has and takes its own defaults for the rest. Without a name, no overrides
  /// apply.
  ///
  /// - Throws: ``SchedulerError``, also for numbers that lead to infinite or NaN latents.
  package static func make(
    name: String?, config: JSONObject, steps: Int
  ) throws(SchedulerError) -> any Scheduler {
    let kind: SchedulerKind
    let scheduler: any Scheduler
    if let name {
      kind = try named(name)
      // The training noise schedule cannot be overridden.
      if let own = config[ModelSource.schedulerClass]?.string, SchedulerError.isContinuous(own) {
        throw .unknownClass(own, known: all.map(\.name))
      }
      scheduler = try kind.scheduler(config: config, steps: steps)
    } else {
      kind = try described(by: config)
      scheduler = try kind.make(config, steps)
    }
    try checkFinite(scheduler, className: kind.className)
    return scheduler
  }

  /// Runs all steps on a single number to refuse configs whose numbers lead to infinite, NaN or
  /// unbounded latents before a long run.
  private static func checkFinite(
    _ scheduler: any Scheduler, className: String
  ) throws(SchedulerError) {
    var scheduler = scheduler
    let unit = Tensor(shape: [1], values: [1])
    var sample = scaled(scheduler.initialNoiseSigma, unit)
    for index in scheduler.timesteps.indices {
      let input = scheduler.modelInput(sample, at: index)
      sample = scheduler.step(scaled(0.5, input), at: index, sample: sample) { unit }
      guard input.values[0].isFinite, abs(sample.values[0]) < latentLimit,
        scheduler.timesteps[index].isFinite
      else { throw .notFinite(className: className, step: index + 1) }
    }
  }

  /// A bound that latents of a usable schedule do not reach. Its square is finite in float32.
  private static let latentLimit: Float = 1e12

  /// Corrects early scheduler configs as the architecture's pipeline in diffusers does.
  ///
  /// `StableDiffusionPipeline`'s constructor sets `steps_offset` to 1 and `clip_sample` to false.
  /// Absent keys are set only if the scheduler keeps the config's class, because `from_config` does
  /// not pass defaults on to another class.
  package static func corrected(
    _ config: JSONObject, name: String?, for architecture: Architecture
  ) -> JSONObject {
    guard architecture.correctsSchedulers else { return config }
    var config = config
    let keepsClass =
      name == nil
      || (try? named(name ?? ""))?.className == config[ModelSource.schedulerClass]?.string
    if keepsClass || config["steps_offset"] != nil { config["steps_offset"] = 1 }
    if keepsClass || config["clip_sample"] != nil { config["clip_sample"] = false }
    return config
  }
}

/// `a * x + b * y`, elementwise.
func combine(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) -> Tensor {
  precondition(x.shape == y.shape, "\(x.shape) combined with \(y.shape)")
  var result = x
  for index in result.values.indices {
    result.values[index] = a * x.values[index] + b * y.values[index]
  }
  return result
}

func scaled(_ a: Float, _ x: Tensor) -> Tensor {
  Tensor(shape: x.shape, values: x.values.map { a * $0 })
}

/// Throws if the training schedule has fewer timesteps than `steps`, or if `steps` is below
/// `least`.
func checkSteps(
  _ steps: Int, className: String, trainTimesteps: Int, least: Int = 1
) throws(SchedulerError) {
  guard steps >= least, steps <= trainTimesteps else {
    throw .steps(steps, className: className, allowed: "\(least) to \(trainTimesteps)")
  }
}

/// Throws if a timestep is outside the training schedule.
func checkTimesteps(
  _ timesteps: [Double], steps: Int, className: String, trainTimesteps: Int
) throws(SchedulerError) {
  for timestep in timesteps where !(0..<Double(trainTimesteps) ~= timestep) {
    throw .timestep(
      Int(timestep), steps: steps, className: className, trainTimesteps: trainTimesteps)
  }
}

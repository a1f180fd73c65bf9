package import ModelSources
package import Support
package import Tensors

/// A way from noise to picture: which timesteps the U-Net is asked at, and what its answers do.
///
/// A scheduler is made for one run of a number of steps and counts its own state along: calls of
/// ``step(_:at:sample:noise:)`` come in order, one for each of ``timesteps``.
package protocol Scheduler: Sendable {
  /// What the U-Net is given as `timestep`, one for each call; from noise to picture.
  var timesteps: [Float] { get }

  /// What unit noise is multiplied with before the first step: `init_noise_sigma`.
  var initialNoiseSigma: Float { get }

  /// What the U-Net is given as `sample` at a step: `scale_model_input`.
  func modelInput(_ sample: Tensor, at step: Int) -> Tensor

  /// The latents after a step.
  ///
  /// - Parameters:
  ///   - modelOutput: the U-Net's prediction, guidance applied.
  ///   - step: index into ``timesteps``.
  ///   - sample: the latents before the step, not scaled for the U-Net.
  ///   - noise: draws unit noise of the latents' shape; ancestral schedulers call it once a step.
  mutating func step(
    _ modelOutput: Tensor, at step: Int, sample: Tensor, noise: () -> Tensor
  ) -> Tensor

  /// A picture's latents with as much noise as a step begins with: `add_noise`.
  func noisy(_ picture: Tensor, noise: Tensor, at step: Int) -> Tensor

  /// Called before the first step where a run does not begin at step 0.
  mutating func begin(at step: Int)
}

extension Scheduler {
  package mutating func begin(at step: Int) {}
  package func modelInput(_ sample: Tensor, at step: Int) -> Tensor { sample }
}

/// One entry of ``Schedulers/all``.
package struct SchedulerKind: Sendable {
  /// The name on the command line.
  package let name: String
  /// The name that A1111's `parameters` text has for it.
  package let title: String
  /// diffusers' class, as `_class_name` of `scheduler_config.json` has it.
  package let className: String
  /// Config members that the name stands for, whatever the model's config says.
  package let overrides: JSONObject
  let make: @Sendable (JSONObject, Int) throws(SchedulerError) -> any Scheduler

  /// The scheduler for a number of steps, with the members of another class's or its own config.
  package func scheduler(
    config: JSONObject, steps: Int
  ) throws(SchedulerError) -> any Scheduler {
    var config = config
    for (key, value) in overrides.members { config[key] = value }
    return try make(config, steps)
  }
}

/// The schedulers that Decant has.
package enum Schedulers {
  package static let all: [SchedulerKind] = [
    .pndm, .ddim, .euler, .eulerAncestral, .dpmSolverMultistep, .dpmSolverMultistepKarras, .lcm,
  ]

  /// The kind of that name on the command line.
  package static func named(_ name: String) throws(SchedulerError) -> SchedulerKind {
    guard let kind = all.first(where: { $0.name == name.lowercased() }) else {
      throw .unknownName(name, known: all.map(\.name))
    }
    return kind
  }

  /// The kind that a config describes: of its class, the one whose overrides it states itself.
  package static func described(by config: JSONObject) throws(SchedulerError) -> SchedulerKind {
    let className = config["_class_name"]?.string ?? ""
    let kinds = all.filter { $0.className == className }
    guard let first = kinds.first else {
      throw .unknownClass(className, known: all.map(\.name))
    }
    return kinds.first { kind in
      kind.overrides.members.allSatisfy { config[$0.key] == $0.value }
    } ?? first
  }

  /// A scheduler by name, or when there is none the one that the config describes.
  ///
  /// A name works as `Class.from_config(pipeline.scheduler.config)` in diffusers: the class takes
  /// the members that it knows and its own defaults for the rest. Without a name nothing of the
  /// config is overridden.
  ///
  /// - Throws: ``SchedulerError``, also for numbers that would make latents infinite or none.
  package static func make(
    name: String?, config: JSONObject, steps: Int
  ) throws(SchedulerError) -> any Scheduler {
    let kind: SchedulerKind
    let scheduler: any Scheduler
    if let name {
      kind = try named(name)
      // The noise that the model was trained with is no choice.
      if let own = config["_class_name"]?.string, SchedulerError.isContinuous(own) {
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

  /// Takes all steps with a single number, which costs nothing: a config whose numbers lead nowhere
  /// (noise that never comes, or that leaves no picture) is refused before hours of work.
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

  /// What no latents of a schedule that leads anywhere reach; the square of it is finite.
  private static let latentLimit: Float = 1e12

  /// The config as an architecture's pipeline uses it.
  ///
  /// `StableDiffusionPipeline`'s constructor sets `steps_offset` to 1 and `clip_sample` to false in
  /// configs that say otherwise, as early ones did, or leave it to the class. Members that are absent
  /// are corrected for the config's own class alone: `from_config` does not hand defaults on to
  /// another.
  package static func corrected(
    _ config: JSONObject, name: String?, for architecture: Architecture
  ) -> JSONObject {
    guard architecture.correctsSchedulers else { return config }
    var config = config
    let keepsClass =
      name == nil
      || (try? named(name ?? ""))?.className == config["_class_name"]?.string
    if keepsClass || config["steps_offset"] != nil { config["steps_offset"] = 1 }
    if keepsClass || config["clip_sample"] != nil { config["clip_sample"] = false }
    return config
  }
}

/// `a * x + b * y`, number by number.
func combine(_ a: Float, _ x: Tensor, _ b: Float, _ y: Tensor) -> Tensor {
  precondition(x.shape == y.shape, "\(x.shape) beside \(y.shape)")
  var result = x
  for index in result.values.indices {
    result.values[index] = a * x.values[index] + b * y.values[index]
  }
  return result
}

func scaled(_ a: Float, _ x: Tensor) -> Tensor {
  Tensor(shape: x.shape, values: x.values.map { a * $0 })
}

/// Refuses a number of steps that the schedule is too short for.
func checkSteps(
  _ steps: Int, className: String, trainTimesteps: Int, least: Int = 1
) throws(SchedulerError) {
  guard steps >= least, steps <= trainTimesteps else {
    throw .steps(steps, className: className, allowed: "\(least) to \(trainTimesteps)")
  }
}

/// Refuses timesteps that are looked up in the schedule and not there.
func checkTimesteps(
  _ timesteps: [Double], steps: Int, className: String, trainTimesteps: Int
) throws(SchedulerError) {
  for timestep in timesteps where !(0..<Double(trainTimesteps) ~= timestep) {
    throw .timestep(
      Int(timestep), steps: steps, className: className, trainTimesteps: trainTimesteps)
  }
}

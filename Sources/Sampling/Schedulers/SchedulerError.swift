package import Support
import Tensors

/// Why a scheduler cannot be made from a name or a config.
package enum SchedulerError: RemediableError, Equatable {
  /// No scheduler has that name. `similar` is the scheduler with the most similar name.
  case unknownName(String, similar: String?, known: [String])
  /// The config's class is not in ``Schedulers/all``.
  case unknownClass(String, known: [String])
  /// A key of the config has the wrong type of value.
  case malformed(key: String, found: String, expected: String)
  /// A key of the config has a value that this scheduler does not support.
  case unsupported(className: String, key: String, found: String, supported: String)
  /// A key of the config has a number out of range.
  case outOfRange(key: String, found: String, expected: String)
  /// The training schedule does not allow this number of steps.
  case steps(Int, className: String, allowed: String)
  /// A step reaches a timestep outside the training schedule.
  case timestep(Int, steps: Int, className: String, trainTimesteps: Int)
  /// The config's numbers, each in range, lead to infinite or NaN latents.
  case notFinite(className: String, step: Int)

  /// Whether a diffusers class uses EDM's continuous noise (Karras et al., arXiv 2206.00364).
  static func isContinuous(_ className: String) -> Bool { className.hasPrefix("EDM") }

  package var description: String {
    switch self {
    case .unknownName(let name, let similar, let known):
      "scheduler '\(shown(name))' is unknown"
        + didYouMean(similar.map { [$0] } ?? []) + "; expected \(alternatives(known))"
    case .unknownClass(let name, _):
      Self.isContinuous(name)
        ? "the scheduler config's class is '\(name)': the model was trained with EDM's continuous "
          + "noise, which Decant does not support"
        : "the scheduler config's class is '\(name)', which Decant does not support"
    case .malformed(let key, let found, let expected):
      "the scheduler config's '\(key)' is \(found), expected \(expected)"
    case .unsupported(let className, let key, let found, let supported):
      "the scheduler config's '\(key)' is \(found), which Decant's \(className) does not support; "
        + "expected \(supported)"
    case .outOfRange(let key, let found, let expected):
      "the scheduler config's '\(key)' is \(found), expected \(expected)"
    case .steps(let steps, let className, let allowed):
      "\(className) cannot run \(counted(steps, "step")); expected \(allowed)"
    case .timestep(let timestep, let steps, let className, let trainTimesteps):
      "\(counted(steps, "step")) of \(className) reach timestep \(timestep), but the training "
        + "schedule has 0 to \(trainTimesteps - 1)"
    case .notFinite(let className, let step):
      "the scheduler config's numbers (betas, sigmas, prediction_type) lead to infinite, NaN or "
        + "unbounded latents at step \(step) of \(className)"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .unknownClass(let name, let known):
      Self.isContinuous(name)
        ? nil : .choose(.scheduler, purpose: "with \(alternatives(known))")
    case .timestep: .act("choose fewer steps or another steps_offset")
    case .notFinite:
      .either([.act("correct them"), .adjust(.scheduler, .other)])
    case .unknownName, .malformed, .unsupported, .outOfRange, .steps: nil
    }
  }
}

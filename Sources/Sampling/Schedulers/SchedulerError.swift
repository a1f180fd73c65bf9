import Support
import Tensors

/// Why a scheduler cannot be made of a config.
package enum SchedulerError: Error, Equatable, CustomStringConvertible {
  /// No scheduler has that name on the command line.
  case unknownName(String, known: [String])
  /// The config asks for a class that is not among ``Schedulers/all``.
  case unknownClass(String, known: [String])
  /// A member of the config has the wrong kind of value.
  case malformed(key: String, found: String, expected: String)
  /// A member of the config asks for something that this scheduler does not do.
  case unsupported(className: String, key: String, found: String, supported: String)
  /// A member of the config holds a number that cannot be meant.
  case outOfRange(key: String, found: String, expected: String)
  /// So many steps do not fit the schedule.
  case steps(Int, className: String, allowed: String)
  /// The steps reach a timestep that the schedule does not have.
  case timestep(Int, steps: Int, className: String, trainTimesteps: Int)
  /// The config's numbers, each possible by itself, lead to latents that are no numbers.
  case notFinite(className: String, step: Int)

  /// Whether a class is of EDM's continuous noise (Karras et al., 2022), as diffusers names those.
  static func isContinuous(_ className: String) -> Bool { className.hasPrefix("EDM") }

  package var description: String {
    switch self {
    case .unknownName(let name, let known):
      "there is no scheduler '\(name)'; choose one of \(known.joined(separator: ", "))"
    case .unknownClass(let name, let known):
      Self.isContinuous(name)
        ? "the scheduler config asks for '\(name)': the model was trained with EDM's continuous noise, "
          + "which no scheduler of Decant's knows"
        : "the scheduler config asks for '\(name)', which Decant does not have; "
          + "choose one with --scheduler: \(known.joined(separator: ", "))"
    case .malformed(let key, let found, let expected):
      "the scheduler config's '\(key)' is \(found), expected \(expected)"
    case .unsupported(let className, let key, let found, let supported):
      "the scheduler config's '\(key)' is \(found), which \(className) does not do here; "
        + "expected \(supported)"
    case .outOfRange(let key, let found, let expected):
      "the scheduler config's '\(key)' is \(found), expected \(expected)"
    case .steps(let steps, let className, let allowed):
      "\(className) cannot take \(counted(steps, "step")); choose \(allowed)"
    case .timestep(let timestep, let steps, let className, let trainTimesteps):
      "\(counted(steps, "step")) of \(className) reach timestep \(timestep), but the schedule has "
        + "0 to \(trainTimesteps - 1); choose fewer steps or another steps_offset"
    case .notFinite(let className, let step):
      "the scheduler config's numbers (betas, sigmas, prediction_type) give \(className) infinite or "
        + "undefined latents at step \(step); correct them, or choose another scheduler with --scheduler"
    }
  }
}

private import Foundation
internal import ModelSources
package import Support
internal import Tensors

/// A `scheduler_config.json`, read with the defaults of a scheduler class.
///
/// As with diffusers' `from_config`, an absent or null key takes the default of the class that
/// reads it, and keys that the class does not have are ignored. So one class can read another's
/// config.
package struct SchedulerConfig: Sendable {
  package let json: JSONObject
  /// The scheduler class that reads the config, for messages.
  package let className: String

  package init(_ json: JSONObject, className: String) {
    self.json = json
    self.className = className
  }

  private func member(_ key: String) -> JSONValue? {
    guard let value = json[key], !value.isNull else { return nil }
    return value
  }

  func bool(_ key: String, default standard: Bool) throws(SchedulerError) -> Bool {
    guard let value = member(key) else { return standard }
    guard let bool = value.bool else { throw malformed(key, value, "true or false") }
    return bool
  }

  func integer(_ key: String, default standard: Int) throws(SchedulerError) -> Int {
    guard let value = member(key) else { return standard }
    guard let integer = value.integer else { throw malformed(key, value, "a whole number") }
    return integer
  }

  func number(_ key: String) throws(SchedulerError) -> Double? {
    guard let value = member(key) else { return nil }
    guard let number = value.number else { throw malformed(key, value, "a number") }
    return number
  }

  /// A number above 0 and below 1e9; `nil` if absent.
  func positive(_ key: String) throws(SchedulerError) -> Double? {
    guard let number = try number(key) else { return nil }
    guard number > 0, number < 1e9 else {
      throw .outOfRange(key: key, found: "\(number)", expected: "more than 0 and less than 1e9")
    }
    return number
  }

  /// Bounds of Karras and exponential sigmas: `sigma_max` and `sigma_min` of the config, or the
  /// given defaults.
  func sigmaRange(
    largest: Double, smallest: Double
  ) throws(SchedulerError) -> (largest: Double, smallest: Double) {
    let bounds = (try positive("sigma_max") ?? largest, try positive("sigma_min") ?? smallest)
    let usesKarras = try bool("use_karras_sigmas", default: false)
    let isExponential = try bool("use_exponential_sigmas", default: false)
    guard !(usesKarras || isExponential) || bounds.1 <= bounds.0 else {
      throw .outOfRange(
        key: "sigma_min", found: "\(bounds.1)", expected: "no more than the largest, \(bounds.0)")
    }
    return bounds
  }

  /// Largest magnitude of the predicted original sample; `nil` without clipping.
  func clip(default standard: Bool) throws(SchedulerError) -> Float? {
    guard try bool("clip_sample", default: standard) else { return nil }
    return Float(try positive("clip_sample_range") ?? 1)
  }

  /// A string that is a case of an enumeration.
  func choice<Choice: RawRepresentable & CaseIterable>(
    _ key: String, default standard: Choice
  ) throws(SchedulerError) -> Choice where Choice.RawValue == String {
    guard let value = member(key) else { return standard }
    guard let word = value.string else { throw malformed(key, value, "a string") }
    guard let choice = Choice(rawValue: word) else {
      throw unsupported(key, supported: Choice.allCases.map { "'\($0.rawValue)'" })
    }
    return choice
  }

  /// Throws unless the key is absent, null or one of `allowed`.
  func require(_ key: String, _ allowed: [JSONValue]) throws(SchedulerError) {
    guard let value = member(key), !allowed.contains(value) else { return }
    throw unsupported(key, supported: allowed.map { Self.quoted($0) })
  }

  /// Throws if one of the keys is true.
  func refuse(_ keys: String...) throws(SchedulerError) {
    for key in keys { try require(key, [false]) }
  }

  func unsupported(_ key: String, supported: [String]) -> SchedulerError {
    .unsupported(
      className: className, key: key, found: Self.quoted(json[key] ?? .null),
      supported: supported.joined(separator: " or "))
  }

  private func malformed(_ key: String, _ value: JSONValue, _ expected: String) -> SchedulerError {
    .malformed(key: key, found: value.kind, expected: expected)
  }

  private static func quoted(_ value: JSONValue) -> String {
    value.string.map { "'\($0)'" } ?? value.text()
  }

  // MARK: - Keys that all schedulers have

  /// Number of training timesteps.
  func trainTimesteps() throws(SchedulerError) -> Int {
    let count = try integer("num_train_timesteps", default: 1000)
    guard 1...1_000_000 ~= count else {
      throw .outOfRange(
        key: "num_train_timesteps", found: String(count), expected: "1 to 1000000")
    }
    return count
  }

  func stepsOffset() throws(SchedulerError) -> Int {
    let offset = try integer("steps_offset", default: 0)
    let limit = try trainTimesteps()
    guard 0..<limit ~= offset else {
      throw .outOfRange(
        key: "steps_offset", found: String(offset), expected: "0 to less than \(limit)")
    }
    return offset
  }

  func predictionType() throws(SchedulerError) -> PredictionType {
    try choice(PredictionType.key, default: .standard)
  }

  func spacing(default standard: TimestepSpacing) throws(SchedulerError) -> TimestepSpacing {
    try choice("timestep_spacing", default: standard)
  }
}

/// How timesteps are spaced: Lin et al., arXiv 2305.08891, table 2.
package enum TimestepSpacing: String, CaseIterable, Sendable {
  case leading
  case linspace
  case trailing
}

/// The final sigma: `final_sigmas_type` of diffusers.
enum FinalSigma: String, CaseIterable {
  case zero
  case smallest = "sigma_min"
}

internal import ModelSources
internal import Support

/// What the check of a file covered. The check found no errors.
struct WeightCheck: Sendable {
  let checksums: Checksums
  /// Whether NaN and infinite numbers count as errors.
  let refusesNonfinite: Bool

  /// The facts, for programs.
  var json: JSONObject {
    [
      "checked": true, "checksums": .string(checksums.rawValue),
      "finite": refusesNonfinite ? true : .null,
    ]
  }

  /// The facts, for people.
  var text: String {
    let numbers = refusesNonfinite ? "readable, finite" : "readable"
    return switch checksums {
    case .compared: "checked: no errors found"
    case .ignored: "checked: \(numbers); this format's checksums are not compared"
    case .absent: "checked: \(numbers); this format has no checksums"
    }
  }
}

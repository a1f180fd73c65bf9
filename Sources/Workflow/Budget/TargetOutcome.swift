internal import Support

/// How a quantized model meets its target.
struct TargetOutcome: Sendable {
  let target: QuantizationTarget
  /// What the target is compared with.
  let figure: Double
  /// The relative error of the guided prediction that rounding to nearest was predicted to have; `nil`
  /// where nothing was measured.
  let predictedError: Double?
  /// The same of the quantized model, measured; `nil` without recorded calls.
  let measuredError: Double?
  /// The models that were made until one met the target; 0 for a plan, whose figures are estimates.
  let attempts: Int
  /// The type of every layer; `nil` where the plan is stated elsewhere.
  var plan: JSONValue?

  var json: JSONValue {
    var object: JSONObject = [
      "target": target.json, "figure": .number(figure),
      "predicted_error": predictedError.map { .number($0) } ?? .null,
      "measured_error": measuredError.map { .number($0) } ?? .null,
      "attempts": .integer(attempts),
    ]
    if let plan { object["plan"] = plan }
    return .object(object)
  }

  /// As a detail of a model that was written.
  var detail: (name: String, json: JSONValue, text: String) { ("budget", json, text) }

  var text: String {
    let found = (attempts == 0 ? "about " : "") + target.text(figure)
    var lines = [
      "\(target.noun): \(found), at most \(target.text(target.figure)) was requested"
    ]
    let percent = QuantizationTarget.error(0)
    let errors = [
      predictedError.map { "predicted \(percent.text($0)) with rounding to nearest" },
      measuredError.map { "measured \(percent.text($0))" },
    ].compactMap { $0 }
    if !errors.isEmpty { lines.append("guided prediction: error \(listed(errors))") }
    return lines.joined(separator: "\n")
  }
}

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
  /// The models that were made until one met the target.
  let attempts: Int

  private var json: JSONValue {
    [
      "target": target.json, "figure": .number(figure),
      "predicted_error": predictedError.map { .number($0) } ?? .null,
      "measured_error": measuredError.map { .number($0) } ?? .null,
      "attempts": .integer(attempts),
    ]
  }

  /// As a detail of a model that was written.
  var detail: (name: String, json: JSONValue, text: String) { ("budget", json, text) }

  private var text: String {
    var lines = [
      "\(target.noun): \(target.text(figure)), at most \(target.text(target.figure)) was requested"
    ]
    let percent = QuantizationTarget.error(0)
    let errors = [
      predictedError.map { "predicted \(percent.text($0)) for rounding to nearest" },
      measuredError.map { "measured \(percent.text($0))" },
    ].compactMap { $0 }
    if !errors.isEmpty { lines.append("error of the guided prediction: \(listed(errors))") }
    return lines.joined(separator: "\n")
  }
}

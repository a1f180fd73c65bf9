internal import ModelSources
internal import Stripping
internal import Support

/// What the removal of blocks does, measured with recorded calls.
struct RemovalOutcome {
  /// `nil` for blocks that were not chosen by measurement.
  let limit: RemovalLimit?
  let path: [StripSearch.Step]
  /// The relative error of the guided prediction in all recorded calls.
  let error: Double
  let calls: Int
  /// The number of calls in which the errors of ``path`` are measured.
  let pathCalls: Int
  /// Parameters of the U-Net.
  let before: Int
  let after: Int
  let seconds: (before: Double, after: Double, size: ImageSize)
  /// Blocks that were chosen by measurement, with as many parameters.
  let alternative: MeasuredRemoval.Selection?

  /// Images of miniatures with larger errors lose about three of a hundred prompts.
  private static let harmful = 0.2
  /// Images of miniatures with larger errors are ruined: they collapse between 24 and 35 %.
  private static let ruinous = 0.3

  /// What a user should know of the error; `nil` for a small one.
  var warning: (text: String, remedy: Remedy?)? {
    if error <= Self.harmful { return nil }
    let consequence =
      error <= Self.ruinous
      ? "images will differ, and some will no longer show their prompts"
      : "images will be ruined until the model is trained further"
    return (
      "the error of the guided prediction is \(Self.text(error)): \(consequence)",
      limit.map { .adjust($0.setting, $0.isOfError ? .smaller : .larger) }
    )
  }

  /// As a detail of a model that was written.
  var detail: (name: String, json: JSONValue, text: String) { ("removal", json, text) }

  /// The part that the provenance of the model keeps.
  var provenance: JSONObject {
    var object: JSONObject = ["error": .number(error), "calls": .integer(calls)]
    if let limit { object["limit"] = limit.json }
    return object
  }

  private var json: JSONValue {
    var object = provenance
    object["parameters"] = ["before": .integer(before), "after": .integer(after)]
    object["seconds_per_step"] = [
      "before": .number(seconds.before), "after": .number(seconds.after),
      "width": .integer(seconds.size.width), "height": .integer(seconds.size.height),
    ]
    object["path"] = .array(path.map { Self.json($0) })
    if let alternative {
      object["selection"] = [
        "error": .number(alternative.error), "parameters": .integer(alternative.parameters),
        "drops": .strings(alternative.drops),
      ]
    }
    return .object(object)
  }

  private static func json(_ step: StripSearch.Step) -> JSONValue {
    [
      "unit": .string(step.unit), "returned": .bool(step.isReturn),
      "error": .number(step.error), "parameters": .integer(step.parameters),
      "drops": .strings(step.drops),
    ]
  }

  private var text: String {
    var lines: [String] = []
    if !path.isEmpty {
      lines.append(
        "removed one after the other, with errors in \(pathCalls) of \(counted(calls, "recorded call")):"
      )
      lines.append(
        table(
          [["  block", "parameters left", "share", "error"]]
            + path.filter { !$0.isReturn }.map {
              [
                "  " + $0.unit, formatted(count: $0.parameters), percent($0.parameters, of: before),
                Self.text($0.error),
              ]
            }, rightAligned: [1, 2, 3]))
      let returned = path.filter(\.isReturn).map(\.unit)
      if !returned.isEmpty {
        lines.append("kept after all, which lowers the error: \(listed(returned))")
      }
    }
    lines.append(
      "guided prediction: error \(Self.text(error)) in \(counted(calls, "recorded call"))")
    if let alternative {
      lines.append(
        "blocks chosen by measurement: error \(Self.text(alternative.error)) with "
          + "\(formatted(count: alternative.parameters)) parameters instead of "
          + formatted(count: after))
    }
    lines.append(
      "a step of \(seconds.size.description): \(Self.text(seconds: seconds.after)), was "
        + Self.text(seconds: seconds.before))
    return lines.joined(separator: "\n")
  }

  private static func text(_ error: Double) -> String { QuantizationTarget.error(0).text(error) }

  private static func text(seconds: Double) -> String { "\(formatted(seconds, digits: 3)) s" }
}

extension RemovalLimit {
  fileprivate var isOfError: Bool { if case .error = self { true } else { false } }
}

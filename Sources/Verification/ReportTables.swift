private import Foundation
private import ModelSources
private import Support
private import Tensors

extension ReportPage {
  /// A table; a heading that begins with `#` marks a column of numbers.
  func table(_ headings: [String], _ rows: [HTML], class style: String = "") -> HTML {
    let cells = headings.map { heading -> HTML in
      heading.hasPrefix("#")
        ? "<th class=\"n\">\(String(heading.dropFirst()))</th>" : "<th>\(heading)</th>"
    }
    return """
      <div class="scroll"><table class="\(style)"><tr>\(cells)</tr>\(rows)</table></div>
      """
  }

  var sizes: HTML {
    let subjects = [report.reference] + report.compared
    let rows = report.reference.components.map(\.name).map { component -> HTML in
      let cells = subjects.map { subject -> HTML in
        guard let found = subject.components.first(where: { $0.name == component }) else {
          return "<td class=\"n\">–</td>"
        }
        let encodings = found.encodings.map(\.name).joined(separator: ", ")
        return """
          <td class="n">\(formatted(bytes: found.bytes))<br><span class="note">\(formatted(count: found.parameters)) parameters<br>\
          \(encodings)</span></td>
          """
      }
      return "<tr><td class=\"name\">\(component)</td>\(cells)</tr>"
    }
    let totals = subjects.map { subject -> HTML in
      let file = subject.fileBytes.map {
        "<br><span class=\"note\">file \(formatted(bytes: $0))</span>" as HTML
      }
      return "<td class=\"n\">\(formatted(bytes: subject.bytes))\(file ?? "")</td>"
    }
    let sum: HTML = "<tr class=\"main\"><td>all weights</td>\(totals)</tr>"
    return """
      <h2>Size</h2>\(table(["Component"] + subjects.map { "#" + $0.name }, rows + [sum]))
      """
  }

  /// The tensors that differ, the worst first, in a folded table.
  var tensors: HTML {
    let sorted = report.tensors.sorted { a, b in
      // NaN counts as the worst value.
      let (x, y) = (a.sqnr.isNaN ? -.infinity : a.sqnr, b.sqnr.isNaN ? -.infinity : b.sqnr)
      return (x, a.component, a.name) < (y, b.component, b.name)
    }
    let changed = sorted.filter { $0.sqnr != .infinity }
    func row(_ tensor: VerificationReport.TensorResult) -> HTML {
      let original: HTML =
        tensor.reference == tensor.name
        ? "" : "<br><span class=\"note\">from \(tensor.reference)</span>"
      return """
        <tr><td>\(tensor.component)</td><td class="name">\(tensor.name)\(original)</td>\
        <td class="term">\(tensor.shape.extents.map(String.init).joined(separator: "×"))</td>\
        <td class="term">\(tensor.before.name) → \(tensor.after.name)</td>\
        <td class="n">\(formatted(tensor.sqnr, digits: 3)) dB</td><td class="n">\(percent(tensor.relativeError))</td>\
        <td class="n">\(formatted(tensor.cosine, decimals: 6))</td><td class="n">\(formatted(tensor.largestDifference, digits: 3))</td></tr>
        """
    }
    let headings = [
      "Component", "Tensor", "Shape", "Stored as", "#SQNR", "#relative error", "#cosine",
      "#largest difference",
    ]
    let equal = sorted.count - changed.count
    let folded: HTML =
      changed.isEmpty
      ? ""
      : """
      <details><summary>The \(counted(changed.count, "tensor")) that \(changed.count == 1 ? "differs" : "differ")</summary>\
      \(table(headings, changed.map(row)))</details>
      """
    return """
      <h2>Tensor by tensor</h2><p class="note">\(formatted(count: changed.count)) tensors differ from the reference's, \
      \(formatted(count: equal)) are identical, and \(formatted(count: report.absentTensors)) of the reference's are missing. \
      The worst come first.</p>\(folded)
      """
  }

  // MARK: - Provenance and settings

  var provenance: HTML {
    if report.provenance.isEmpty { return "" }
    let members = report.provenance.members.flatMap { key, value -> [(String, JSONValue)] in
      // Each step is a section of its own.
      guard key == ModelSource.stepsFact, let steps = value.array else { return [(key, value)] }
      return steps.map { ($0.object?["step"]?.string ?? key, $0) }
    }
    return """
      <h2>Provenance</h2><p class="note">How the candidate was made, as its file records it.</p>\
      \(members.map { fold($0.0, $0.1) })
      """
  }

  private func fold(_ name: String, _ value: JSONValue) -> HTML {
    let isLong = value.array != nil || value.object != nil
    if value == .null { return "" }
    return isLong
      ? "<details><summary>\(words(name))</summary><div class=\"tree\">\(tree(value))</div></details>"
      : "<p><b>\(words(name))</b> \(tree(value))</p>"
  }

  /// A JSON value as nested tables. An array of objects with the same keys is one table.
  private func tree(_ value: JSONValue) -> HTML {
    switch value {
    case .object(let object):
      let rows = object.members.filter { $0.value != .null }.map { member -> HTML in
        "<tr><th>\(words(member.key))</th><td>\(tree(member.value))</td></tr>"
      }
      return "<table>\(rows)</table>"
    case .array(let values):
      let objects = values.compactMap(\.object)
      guard objects.count == values.count, let first = objects.first, !first.isEmpty else {
        return "\(values.map { $0.string ?? $0.text() }.joined(separator: ", "))"
      }
      guard objects.count > 1, objects.allSatisfy({ $0.keys == first.keys }) else {
        return HTML(markup: values.map { tree($0).markup }.joined())
      }
      // A column without any value is left out.
      let keys = first.keys.filter { key in objects.contains { $0[key] != .null } }
      let rows = objects.map { object -> HTML in
        "<tr>\(keys.map { "<td>\(tree(object[$0] ?? .null))</td>" as HTML })</tr>"
      }
      return
        """
        <div class="scroll"><table><tr>\(keys.map { "<th>\(words($0))</th>" as HTML })</tr>\
        \(rows)</table></div>
        """
    case .integer(let number): return "\(formatted(count: number))"
    case .number(let number): return "\(formatted(number, digits: 4))"
    case .string(let text): return "\(text)"
    case .null: return "–"
    default: return "\(value.text())"
    }
  }

  /// Labels of members whose names are not words.
  private static let labels = [
    "sqnr_db": "SQNR (dB)",
    "weighted_sqnr_db": "SQNR weighted by the calibration (dB)",
    "plain_sqnr_db": "SQNR of round to nearest (dB)",
    "plain_weighted_sqnr_db": "weighted SQNR of round to nearest (dB)",
    "mean_clip": "mean scale, relative to round to nearest",
    "least_clip": "smallest scale, relative to round to nearest",
  ]

  private func words(_ name: String) -> String {
    Self.labels[name] ?? name.replacingOccurrences(of: "_", with: " ")
  }

  var settings: HTML {
    let settings = report.settings
    let negative = settings.negativePrompts
    let calls = report.calls
    let facts: [(String, String)] = [
      ("prompts", "\(settings.prompts.count)"),
      (
        "negative prompt",
        negative.count > 1
          ? "one per prompt" : negative.first { !$0.isEmpty } ?? "none"
      ),
      ("seeds", settings.seeds.map(String.init).joined(separator: ", ")),
      (
        "images",
        "\(report.images.count) of \(settings.size?.description ?? "") in \(counted(settings.steps, "step"))"
      ),
      ("guidance scale", formatted(settings.guidanceScale, digits: 3)),
      ("scheduler", settings.schedulerClass ?? settings.scheduler ?? ""),
      (
        "compared calls",
        "\(calls.count)\(calls.isOfCalibration ? " of the calibration" : ""), of "
          + listed(report.errors[0].sizes.map(\.description))
      ),
      ("blocks compared at", counted(settings.blockSteps, "step")),
      ("machine", report.machine),
      ("made by", report.tool),
    ]
    let command = report.command.map {
      "<p class=\"note\">Repeat it with</p><pre>\($0)</pre>" as HTML
    }
    return """
      <h2>Settings</h2>\(table([], facts.map { "<tr><th>\($0.0)</th><td>\($0.1)</td></tr>" as HTML }))\(command ?? "")
      """
  }
}

/// Bytes in base64, for a `data:` URL.
func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

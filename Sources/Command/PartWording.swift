internal import Support
internal import Workflow

/// A line for each change of a model, at most ten.
func lines(ofChanges changes: [(text: String, remedy: Remedy?)]) -> [String] {
  let most = 10
  let more = changes.count - most
  return changes.prefix(most).map { $0.text + ($0.remedy.map { "; \($0.sentence)" } ?? "") }
    + (more > 0 ? ["and \(more) more; --json lists all"] : [])
}

extension WrittenModel {
  /// The model's changes, then ``commandsForMissingParts(model:options:)`` and ``loadingText``.
  ///
  /// - Parameter options: the options with which the model is read for a part.
  func furtherText(model: String, options: (ModelPart) -> [String]) -> String {
    let others = [commandsForMissingParts(model: model, options: options), loadingText]
    return (lines(ofChanges: listedChanges) + others)
      .filter { !$0.isEmpty }.joined(separator: "\n")
  }

  /// The command lines that write what a program needs beside a U-Net alone, next to it; empty for
  /// other outputs.
  ///
  /// - Parameters:
  ///   - model: the model that was read.
  ///   - options: the options with which it is read for a part.
  func commandsForMissingParts(model: String, options: (ModelPart) -> [String]) -> String {
    if missingParts.isEmpty { return "" }
    let lines = missingParts.map { part in
      let name = part.rawValue.replacing("-", with: "_") + ".safetensors"
      let command = commandLine(
        [
          "extract", .path(model), "--component", .word(part.rawValue), "-o",
          .path(PathParts(path).sibling(name)),
        ], options: options(part))
      return "  " + command
    }
    return (["the file holds a U-Net alone; to write the other components:"] + lines)
      .joined(separator: "\n")
  }
}

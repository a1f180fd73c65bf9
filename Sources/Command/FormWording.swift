internal import Support
internal import Workflow

extension ModelForms {
  /// A line of facts for each form, and below it the command that makes the form.
  ///
  /// - Parameter options: the options with which the model was read.
  func text(options: [String]) -> String {
    if forms.isEmpty { return "\nno program that uses a GPU loads this model" }
    let fitting = forms.filter(\.fits).count
    let rows =
      [["program", "type", "weights", "memory", "fits"]]
      + forms.map { form in
        [
          form.title, form.type ?? "as stored", formatted(bytes: form.bytes),
          formatted(bytes: form.memory), form.fits ? "yes" : "no",
        ]
      }
    var lines = table(rows, rightAligned: [2, 3]).split(separator: "\n").map(String.init)
    for (index, form) in forms.enumerated() {
      lines[index + 1] += "\n    " + form.command(for: model, options: options)
    }
    return """

      \(fitting) of \(counted(forms.count, "form")) fit in \(formatted(bytes: budget)) for one \
      image of \(size);
      the memory of the system and of the driver is not counted:
      \(lines.joined(separator: "\n"))
      """
  }
}

extension ModelForms.Form {
  /// The command line that writes the form.
  fileprivate func command(for model: String, options: [String]) -> String {
    var words = ["decant", isQuantized ? "quantize" : "convert", model.asArgument]
    words += ["-o", output.asArgument]
    if let type { words += ["--type", type] }
    if !isDefault { words += ["--for", program] }
    words += options
    return words.map(\.quotedForShell).joined(separator: " ")
  }
}

extension String {
  /// A path that is not taken for an option.
  var asArgument: String { hasPrefix("-") ? "./" + self : self }

  /// A word as a shell reads it: in quotes, where it holds more than letters, digits and
  /// punctuation of paths.
  var quotedForShell: String {
    if wholeMatch(of: /[\w.\/+=:,@-]+/) != nil { return self }
    return "'" + shown(self, limit: .max).replacing("'", with: "'\\''") + "'"
  }
}

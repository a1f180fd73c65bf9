internal import Support
internal import Workflow

extension ModelForms {
  /// The forms as a table with the command that makes each.
  var text: String {
    let fitting = forms.filter(\.fits).count
    let rows =
      [["program", "type", "file", "memory", "fits", "command"]]
      + forms.map { form in
        [
          form.title, form.type ?? "as stored", formatted(bytes: form.bytes),
          formatted(bytes: form.memory), form.fits ? "yes" : "no", form.command(for: model),
        ]
      }
    return """

      \(fitting) of \(counted(forms.count, "form")) fit in \(formatted(bytes: budget)) for one \
      image of \(size), beside the memory of the system and of the driver:
      \(table(rows, rightAligned: [2, 3]))
      """
  }
}

extension ModelForms.Form {
  /// The command line that writes the form.
  fileprivate func command(for model: String) -> String {
    var words = ["decant", isQuantized ? "quantize" : "convert", model, "-o", output]
    if let type { words += ["--type", type] }
    if !isDefault { words += ["--for", program] }
    return words.map(\.quotedForShell).joined(separator: " ")
  }
}

extension String {
  /// A word as a shell reads it: in quotes, where it holds more than letters, digits and
  /// punctuation of paths.
  var quotedForShell: String {
    if wholeMatch(of: /[\w.\/+=:,@-]+/) != nil { return self }
    return "'" + shown(self, limit: .max).replacing("'", with: "'\\''") + "'"
  }
}

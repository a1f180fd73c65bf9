internal import Support
internal import Workflow

extension ModelForms {
  /// The forms that fit, by program, each with the command that makes it, and the others in short.
  ///
  /// - Parameter options: the options with which the model was read.
  func text(options: [String]) -> String {
    if forms.isEmpty {
      return (["\nno program that uses a GPU loads this model"] + refusalLines).joined(
        separator: "\n")
    }
    let fitting = forms.filter(\.fits)
    let heading = """

      \(fitting.count) of \(counted(forms.count, "form")) \(fitting.count == 1 ? "fits" : "fit") in \
      \(formatted(bytes: budget)) for \
      one image of \(size);
      the memory of the system and of the driver is not counted.
      1 GB is 10^9 bytes; a GPU with 4 GiB has 4.29 GB.
      """
    return [
      heading, text(fitting, options: options), textWithoutCommands(forms.filter { !$0.fits }),
      refusalLines.joined(separator: "\n"),
    ]
    .filter { !$0.isEmpty }.joined(separator: "\n\n")
  }

  private func text(_ forms: [Form], options: [String]) -> String {
    if forms.isEmpty { return "" }
    var rows = [["least rounding error first", "weights", "memory"]]
    var commands: [String?] = [nil]
    var program = ""
    for form in forms {
      if form.title != program {
        rows.append([form.title])
        commands.append(nil)
        program = form.title
      }
      let row = ["  " + form.types, formatted(bytes: form.bytes), formatted(bytes: form.memory)]
      rows.append(row + (form.note.isEmpty ? [] : [form.note]))
      commands.append(form.command(for: model, options: options))
    }
    let lines = table(rows, rightAligned: [1, 2]).split(separator: "\n")
    return zip(lines, commands).map { line, command in
      line + (command.map { "\n    " + $0 } ?? "")
    }.joined(separator: "\n")
  }

  private func textWithoutCommands(_ forms: [Form]) -> String {
    if forms.isEmpty { return "" }
    let rows = table(
      [["too large", "weights", "memory"]]
        + forms.map { form in
          [
            "\(form.title), \(form.types)", formatted(bytes: form.bytes),
            formatted(bytes: form.memory),
          ]
        }, rightAligned: [1, 2])
    return ([rows] + switchLines(of: forms)).joined(separator: "\n")
  }

  /// What lowers the memory of programs, a line for those with the same switches.
  private func switchLines(of forms: [Form]) -> [String] {
    var programs: [(switches: [String], titles: [String])] = []
    for form in forms {
      let switches = form.memoryOptions.map { "--" + $0 } + form.memoryFunctions.map { $0 + "()" }
      if switches.isEmpty { continue }
      guard let index = programs.firstIndex(where: { $0.switches == switches }) else {
        programs.append((switches, [form.title]))
        continue
      }
      if !programs[index].titles.contains(form.title) { programs[index].titles.append(form.title) }
    }
    return programs.map { switches, titles in
      "\(listed(titles)): less memory with \(alternatives(switches))"
    }
  }

  private var refusalLines: [String] {
    refusals.map { "\($0.title) cannot load \($0.reason)" }
  }
}

extension ModelForms.Form {
  /// The types of the weights.
  fileprivate var types: String {
    (type ?? "as stored") + (textEncoderType.map { ", text encoders \($0)" } ?? "")
  }

  /// What the sizes do not show; empty for most forms.
  fileprivate var note: String {
    [isUNetAlone ? "U-Net alone" : nil, plainConvolutionType.map { "convolutions stay \($0)" }]
      .compactMap { $0 }.joined(separator: ", ")
  }

  /// The command line that writes the form.
  fileprivate func command(for model: String, options: [String]) -> String {
    var own: [String] = []
    if let type { own += ["--type", type] }
    if let textEncoderType { own += ["--text-encoder-type", textEncoderType] }
    if !isDefault { own += ["--for", program] }
    return commandLine(
      [isQuantized ? "quantize" : "convert", .path(model), "-o", .path(output)],
      options: own + options)
  }
}

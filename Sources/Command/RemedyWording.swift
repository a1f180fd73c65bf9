internal import Support
private import Workflow

extension Setting {
  /// The option that makes this choice on the command line.
  var option: String {
    switch self {
    case .replace: "--force"
    case .skipVerification: "--no-verify"
    case .maximumShardSize: "--max-shard-size"
    case .outputFormat: "--to"
    case .program: "--for"
    case .adapters: "--lora"
    case .outputSize: "--target-size"
    default: "--" + hyphenated
    }
  }

  /// The case's name with hyphens between its words: `text-encoder-2`.
  private var hyphenated: String {
    var text = ""
    for character in rawValue {
      if character.isUppercase || character.isNumber { text += "-" }
      text += character.lowercased()
    }
    return text
  }
}

extension Remedy {
  /// The remedy as a clause of a sentence: `pass --force to replace it`.
  var sentence: String {
    switch self {
    case .choose(.outputFormat, let layouts, let purpose) where isDecidedByOutputName:
      return "give the output the ending \(alternatives(layouts.compactMap(outputEnding)))"
        + (purpose.isEmpty ? "" : " \(purpose)")
    case .choose(let setting, let values, let purpose):
      let choice =
        values.isEmpty
        ? "pass \(setting.option)"
        : "choose " + values.map { "\(setting.option) \($0)" }.joined(separator: " or ")
      return choice + (purpose.isEmpty ? "" : " \(purpose)")
    case .addComponents(let settings):
      let options = settings.map(\.option)
      let words = listed(options.map { $0 + " MODEL" })
      return options.allSatisfy(isOptionOfThisCommand)
        ? "pass \(words) to add \(options.count == 1 ? "it" : "them")"
        : "add \(options.count == 1 ? "it" : "them") with `decant convert` and \(words)"
    case .adjust(let setting, let adjustment):
      return "choose \(adjustment.adjective) \(setting.option)"
    case .leaveOut(let setting, let others):
      return "leave \(listed(([setting] + others).map(\.option))) out"
    case .storeAs(let types): return "use \(alternatives(types))"
    case .renameOutput: return "give another name"
    case .reduceScale(let path):
      let value = (path.asArgument + ":0.5").quotedForShell
      return "use a smaller scale, such as \(Setting.adapters.option) \(value)"
    case .quantizeOriginal: return "quantize the original model"
    case .readOriginal: return "use the float16 or float32 model that it was made from"
    case .quantizeOriginalAs(let type):
      return "quantize the original model with `decant quantize \(Setting.type.option) \(type)`"
    case .recalibrate: return "calibrate this model"
    case .checkWeights: return "check the model's weights with `decant inspect --check`"
    case .repeatCommand: return "run the same command again to continue from there"
    case .downloadAgain: return "download it again"
    case .pullFromGitLFS: return "run `git lfs pull`"
    case .act(let clause): return clause
    case .either(let remedies): return remedies.map(\.sentence).joined(separator: ", or ")
    }
  }
}

/// The options of the command of this program's command line.
private var optionsOfThisCommand: OptionTable? {
  guard let name = CommandLine.arguments.dropFirst().first,
    let command = CommandLineCheck.command(named: name)
  else { return nil }
  return OptionTable(of: command)
}

/// Whether the command of this program's command line has the option.
private func isOptionOfThisCommand(_ option: String) -> Bool {
  optionsOfThisCommand?.entries.contains { $0.names.contains(option) } == true
}

/// Whether the layout of the output follows from its name: one is named, and no layout.
private var isDecidedByOutputName: Bool {
  let given = (try? optionsOfThisCommand?.scanCommandLine()) ?? []
  let names = given.map(\.entry.preferredName)
  return names.contains(Setting.output.option) && !names.contains(Setting.outputFormat.option)
}

extension Remedy.Adjustment {
  fileprivate var adjective: String {
    switch self {
    case .smaller: "a smaller"
    case .larger: "a larger"
    case .other: "another"
    }
  }
}

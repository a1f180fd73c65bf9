internal import Support

extension Setting {
  /// The option that makes this choice on the command line.
  var option: String {
    switch self {
    case .replace: "--force"
    case .maximumShardSize: "--max-shard-size"
    case .outputFormat: "--to"
    case .program: "--for"
    case .adapters: "--lora"
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
    case .choose(let setting, let values, let purpose):
      let choice =
        values.isEmpty
        ? "pass \(setting.option)"
        : "choose " + values.map { "\(setting.option) \($0)" }.joined(separator: " or ")
      return choice + (purpose.isEmpty ? "" : " \(purpose)")
    case .leaveOut(let setting): return "leave \(setting.option) out"
    case .downloadAgain: return "download it again"
    case .pullFromGitLFS: return "run `git lfs pull`"
    case .act(let clause): return clause
    case .either(let remedies): return remedies.map(\.sentence).joined(separator: ", or ")
    }
  }
}

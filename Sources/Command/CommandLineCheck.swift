internal import ArgumentParser
private import Foundation
private import Support

/// Checks of the command line before it is parsed.
///
/// The parser takes the value of an unknown option for a MODEL, and reports the option only if
/// nothing else is wrong. Of two values of an option, it silently keeps the last. It prints the help
/// of all commands for `help` of an unknown one.
enum CommandLineCheck {
  /// Refuses empty arguments, unknown options, repeated options, values of another form than
  /// expected, and `-` as an output. Refuses names that are not UTF-8 text.
  ///
  /// - Parameter arguments: the command line without the program's name.
  static func check(_ arguments: [String]) throws {
    if let argument = ProcessArguments.firstNotUTF8 { throw ArgumentError.notUTF8(argument) }
    if let folder = ProcessArguments.workingFolderNotUTF8 {
      throw ArgumentError.workingFolderNotUTF8(folder)
    }
    try refuseEmptyArguments(arguments)
    guard let name = arguments.first, !name.hasPrefix("-") else { return }
    let rest = arguments.dropFirst()
    if name == "help" { return try rest.forEach(refuseUnknownTopic) }
    guard let command = Self.command(named: name) else { return try refuseMisspelling(name) }
    guard let options = OptionTable(of: command) else { return }
    if rest.contains(where: options.isHelpRequest) { return }
    let given = try options.scan(rest)
    try refuseRepetition(given, of: command)
    try refuseWrongValues(given, of: command)
  }

  /// The subcommand of that name.
  static func command(named name: String) -> (any ParsableCommand.Type)? {
    Decant.configuration.subcommands.first { $0.configuration.commandName == name }
  }

  /// Refuses a word that is almost a subcommand's name. The parser refuses all other words.
  private static func refuseMisspelling(_ name: String) throws {
    try refuseNearName(name)
    if FileManager.default.fileExists(atPath: name) {
      throw ValidationError(
        "'\(name)' is a file or folder, but a command is expected first; for example: "
          + commandLine(["inspect", .path(name)]))
    }
  }

  /// Refuses a word after `help` that is not a subcommand's name.
  private static func refuseUnknownTopic(_ name: String) throws {
    if name.hasPrefix("-") || name == "help" || command(named: name) != nil { return }
    try refuseNearName(name)
    throw ValidationError(
      "Unexpected argument '\(shown(name))'; expected \(alternatives(names)).")
  }

  /// Refuses a word and names the subcommand that is almost its name, if there is one.
  private static func refuseNearName(_ name: String) throws {
    if let meant = nearestNames(to: name, among: names, within: 2).first {
      throw ValidationError("Unexpected argument '\(name)'; did you mean \(meant)?")
    }
  }

  /// Names of the subcommands.
  private static let names = Decant.configuration.subcommands.compactMap {
    $0.configuration.commandName
  }

  /// Options whose values may be empty.
  private static let texts = ["-p", "--prompt", "-n", "--negative-prompt"]

  /// Refuses empty arguments, which an unset variable of a script leaves behind.
  private static func refuseEmptyArguments(_ arguments: [String]) throws {
    var last: String?
    for argument in arguments {
      let isText = texts.contains(last ?? "") || texts.contains { argument == $0 + "=" }
      if argument.isEmpty, !isText {
        throw ArgumentError.empty(option: last?.hasPrefix("-") == true ? last : nil)
      }
      if argument.hasPrefix("-"), argument.hasSuffix("="), !isText {
        throw ArgumentError.empty(option: String(argument.dropLast()))
      }
      last = argument
    }
  }

  /// Options that name what a command writes.
  private static let outputs: Set = ["--output", "--grid", "--save-latents", "--report"]

  /// Refuses a second value for an option that takes one, and `-` as the name of an output.
  private static func refuseRepetition(
    _ given: [GivenOption], of command: any ParsableCommand.Type
  ) throws {
    var seen: [String: GivenOption] = [:]
    for option in given where option.entry.takesValue {
      if option.value == "-", !outputs.isDisjoint(with: option.entry.names) {
        throw ArgumentError.standardOutput(option: option.spelling)
      }
      if option.entry.isRepeatable { continue }
      let name = option.entry.preferredName
      if let first = seen[name] {
        let values = "'\(shown(first.value ?? ""))' and '\(shown(option.value ?? ""))'"
        let fact =
          first.spelling == option.spelling
          ? "'\(option.spelling)' is given twice, with \(values)"
          : "'\(first.spelling)' and '\(option.spelling)' are one option, given with \(values)"
        throw UsageError("\(fact); give it once.", command)
      }
      seen[name] = option
    }
  }

  /// Refuses a value of another form than its option expects.
  private static func refuseWrongValues(
    _ given: [GivenOption], of command: any ParsableCommand.Type
  ) throws {
    for option in given {
      guard let value = option.value, let form = ValueForm.of(option.entry),
        !form.accepts(value)
      else { continue }
      let place = option.spelling + (option.entry.valueName.map { " <\($0)>" } ?? "")
      throw UsageError(
        "The value '\(shown(value))' is invalid for '\(place)': expected \(form.expected)", command)
    }
  }
}

/// An argument that no command accepts.
enum ArgumentError: Error, CustomStringConvertible {
  /// An empty argument, as the value of an option or alone.
  case empty(option: String?)
  /// `-` where the name of an output is expected.
  case standardOutput(option: String)
  /// An argument that is not UTF-8 text, with its other bytes escaped.
  case notUTF8(String)
  /// A working folder whose path is not UTF-8 text.
  case workingFolderNotUTF8(String)

  var description: String {
    switch self {
    case .empty(let option?):
      "\(option) is given an empty value; give it one, or leave \(option) out"
    case .empty(nil):
      "an argument is empty where the name of a file or folder is expected; is a variable not set?"
    case .standardOutput(let option):
      "\(option) -: outputs are files or folders, not standard output; give a name"
    case .notUTF8(let argument):
      "the argument '\(shown(argument))' is not UTF-8 text, as names of files and prompts must be; "
        + "rename the file, or give it a symbolic link with another name"
    case .workingFolderNotUTF8(let folder):
      "the working folder '\(shown(folder))' has a name that is not UTF-8 text; run the command in "
        + "another folder"
    }
  }
}

/// A wrong command line. The description ends with the usage of the command.
struct UsageError: Error, CustomStringConvertible {
  private let message: String
  private let command: any ParsableCommand.Type

  init(_ message: String, _ command: any ParsableCommand.Type) {
    self.message = message
    self.command = command
  }

  /// The message and the usage, in the form of the parser's errors.
  var description: String {
    let name = command.configuration.commandName ?? ""
    return """
      \(Decant._errorPrefix)\(message)
      Usage: \(Decant.usageString(for: command))
        See 'decant \(name) --help' for more information.
      """
  }
}

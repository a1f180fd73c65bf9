internal import ArgumentParser
private import Foundation
private import Support

/// The options of a command, from the parser's description of the command.
struct OptionTable {
  struct Entry: Equatable {
    /// As they are typed: `-o`, `--output`.
    let names: [String]
    let preferredName: String
    /// The name of the value in the help: `WxH`.
    let valueName: String?
    /// Whether a value follows; a flag has none.
    let takesValue: Bool
    let isRepeatable: Bool
    let defaultValue: String?
  }

  let entries: [Entry]
  private let command: any ParsableCommand.Type

  /// `nil` for a description that has another form than expected, as a new version of the parser
  /// may write it.
  init?(of command: any ParsableCommand.Type) {
    let dump = Data(command._dumpHelp().utf8)
    guard let description = try? JSONDecoder().decode(Description.self, from: dump) else {
      return nil
    }
    self.command = command
    entries = (description.command.arguments ?? []).compactMap(Entry.init)
  }

  /// Flags that the parser adds to every command.
  private static let builtIn: Set = [
    "-h", "-help", "--help", "--help-hidden", "--version", "--experimental-dump-help",
    "--generate-completion-script",
  ]

  /// Whether the argument prints help or the like, so that no command runs.
  func isHelpRequest(_ argument: String) -> Bool {
    let name = argument.prefix { $0 != "=" }
    return Self.builtIn.contains(String(name))
  }

  /// The options that `arguments` hold, in order.
  ///
  /// The argument after an option is the option's value, even if it begins with a hyphen. The
  /// parser refuses values that it does not accept.
  ///
  /// - Throws: ``UsageError`` for an option that the command does not have.
  func scan(_ arguments: some Sequence<String>) throws -> [GivenOption] {
    var given: [GivenOption] = []
    var rest = arguments.makeIterator()
    while let argument = rest.next() {
      if argument == "--" { break }
      guard argument.hasPrefix("-"), argument != "-" else { continue }
      let name = String(argument.prefix { $0 != "=" })
      guard let entry = entry(named: name) else { throw unknown(name) }
      var value: String?
      if entry.takesValue {
        value = name == argument ? rest.next() : String(argument.dropFirst(name.count + 1))
      }
      given.append(GivenOption(entry: entry, spelling: name, value: value))
    }
    return given
  }

  /// The options of this program's command line, which begins with the name of the table's command.
  func scanCommandLine() throws -> [GivenOption] { try scan(CommandLine.arguments.dropFirst(2)) }

  private func entry(named name: String) -> Entry? {
    entries.first { $0.names.contains(name) }
  }

  private func unknown(_ name: String) -> UsageError {
    let command = self.command
    if ["-m", "--model"].contains(name) {
      let subcommand = command.configuration.commandName ?? ""
      return UsageError(
        "Unknown option '\(shown(name))'. A model is named without an option: "
          + "decant \(subcommand) MODEL", command)
    }
    let others = Self.commands(with: name)
    let hint =
      nearest(to: name).map { " Did you mean '\($0)'?" }
      ?? (others.isEmpty ? "" : " It is an option of \(listed(others)).")
    return UsageError("Unknown option '\(shown(name))'.\(hint)", command)
  }

  /// Names of the subcommands that have the option.
  private static func commands(with option: String) -> [String] {
    Decant.configuration.subcommands.filter { OptionTable(of: $0)?.entry(named: option) != nil }
      .compactMap { $0.configuration.commandName }
  }

  /// Names of the same options in other programs.
  private static let namesElsewhere = [
    "--batch-count": "--count", "--batch-size": "--count", "--cfg": "--guidance-scale",
    "--dtype": "--type", "--image": "--init-image", "--num-images-per-prompt": "--count",
    "--num-inference-steps": "--steps", "--quant": "--type", "--sampling-method": "--scheduler",
  ]

  /// What the user most likely means by `name`.
  private func nearest(to name: String) -> String? {
    let names = entries.flatMap(\.names)
    // `-steps`, `--Steps` and `--guidance_scale`.
    let usual =
      (name.hasPrefix("--") ? name : "-" + name).lowercased().replacing("_", with: "-")
    for candidate in [usual, Self.namesElsewhere[usual] ?? ""] where names.contains(candidate) {
      return candidate
    }
    // `-W64`.
    if !name.hasPrefix("--"), let entry = entry(named: String(name.prefix(2))), entry.takesValue {
      return "\(name.prefix(2)) \(name.dropFirst(2))"
    }
    let long = names.filter { $0.hasPrefix("--") }
    if usual.count > 4, let longer = long.filter({ $0.hasPrefix(usual) }).min(by: isShorter) {
      return longer
    }
    return nearestNames(to: usual, among: long, count: 1, within: max(1, usual.count / 3))
      .first
  }

  private func isShorter(_ a: String, _ b: String) -> Bool { (a.count, a) < (b.count, b) }
}

/// An option on the command line.
struct GivenOption {
  let entry: OptionTable.Entry
  /// The name that was typed.
  let spelling: String
  /// `nil` for a flag, and where the value is missing.
  let value: String?

  /// The option for another command line. A value that begins with a hyphen stays a value.
  var arguments: [String] {
    guard let value else { return [spelling] }
    return spelling.hasPrefix("--") ? ["\(spelling)=\(value)"] : [spelling, value]
  }
}

// The members of `ParsableCommand._dumpHelp()` that are read here.

private struct Description: Decodable {
  struct Command: Decodable {
    let arguments: [Argument]?
  }

  struct Argument: Decodable {
    struct Name: Decodable {
      let kind: String
      let name: String

      var typed: String { (kind == "long" ? "--" : "-") + name }
    }

    let kind: String
    let isRepeating: Bool
    let names: [Name]?
    let preferredName: Name?
    let valueName: String?
    let defaultValue: String?
  }

  let command: Command
}

extension OptionTable.Entry {
  /// `nil` for a positional argument.
  fileprivate init?(_ argument: Description.Argument) {
    guard let names = argument.names, let first = names.first else { return nil }
    self.init(
      names: names.map(\.typed), preferredName: (argument.preferredName ?? first).typed,
      valueName: argument.valueName, takesValue: argument.kind == "option",
      isRepeatable: argument.isRepeating,
      defaultValue: argument.defaultValue)
  }
}

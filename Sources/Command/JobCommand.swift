internal import ArgumentParser
private import Foundation
internal import Support
internal import Workflow

/// A command that runs one job and prints its outcome.
protocol JobCommand: AsyncParsableCommand {
  associatedtype Work: Job
  var common: CommonArguments { get }
  var threads: ThreadArguments { get }
  func job() throws -> Work
  /// Text to print after the outcome's own, such as command lines of other commands. Empty by
  /// default.
  func text(after outcome: Work.Outcome) -> String
  /// What a user should know about the outcome. Empty by default.
  func notes(after outcome: Work.Outcome) -> [String]
  /// Checks the outcome after it is printed.
  ///
  /// - Throws: an error that ends the command with another exit code than 0.
  func check(_ outcome: Work.Outcome) throws
}

/// A command that reads a model and writes another one.
protocol WritingCommand: JobCommand {
  var model: String { get }
  var read: InputArguments { get }
  /// The model that was written; `nil` where nothing was.
  func written(by outcome: Work.Outcome) -> WrittenModel?
  /// The changes of a model that was planned and not written. Empty by default.
  func changesOfPlan(in outcome: Work.Outcome) -> [(text: String, remedy: Remedy?)]
}

extension WritingCommand {
  func text(after outcome: Work.Outcome) -> String {
    written(by: outcome)?.furtherText(model: model) { Self.given(read.given(for: $0)) }
      ?? lines(ofChanges: changesOfPlan(in: outcome)).joined(separator: "\n")
  }

  func changesOfPlan(in outcome: Work.Outcome) -> [(text: String, remedy: Remedy?)] { [] }
}

extension WritingCommand where Work.Outcome == WrittenModel {
  func written(by outcome: WrittenModel) -> WrittenModel? { outcome }
}

extension JobCommand {
  func text(after outcome: Work.Outcome) -> String { "" }

  func notes(after outcome: Work.Outcome) -> [String] { [] }

  func check(_ outcome: Work.Outcome) throws {}

  func run() async throws {
    try checkInstructionSet(ProcessInfo.processInfo.environment["DECANT_SIMD"])
    let printer = ProgressPrinter(quiet: common.quiet, verbose: common.verbose)
    defer { printer.finish() }
    printer.showSettings(Self.settings)
    let outcome = try await job().run(threads: threads.threads) { printer.show($0) }
    for note in notes(after: outcome) { printer.show(.note(note)) }
    printer.finish()
    if common.json {
      try StandardStreams.printResult(outcome.jsonText)
    } else {
      let hints = outcome.suggestions.map { bounded(message: "hint: \($0.sentence)") }
      let lines = [outcome.text, text(after: outcome)].filter { !$0.isEmpty } + hints
      if !lines.isEmpty { try StandardStreams.printResult(lines.joined(separator: "\n")) }
    }
    try check(outcome)
  }
}

extension ParsableCommand {
  /// The options of those names that are given, as words of a command line.
  static func given(_ names: [String]) -> [String] {
    guard let table = OptionTable(of: Self.self) else { return [] }
    return given(table).filter { names.contains($0.entry.preferredName) }
      .flatMap(\.arguments)
  }

  /// The command line of this program, which repeats the command.
  static var repeated: String {
    commandLine(CommandLine.arguments.dropFirst().map { .word($0) })
  }

  private static func given(_ table: OptionTable) -> [GivenOption] {
    (try? table.scanCommandLine()) ?? []
  }

  /// The command's name, and each option that is given or has a default.
  static var settings: [String] {
    guard let table = OptionTable(of: Self.self) else { return [] }
    let given = given(table)
    let options = table.entries.flatMap { entry in
      let values = given.filter { $0.entry == entry }.map(\.value)
      if values.isEmpty, entry.takesValue, let value = entry.defaultValue {
        return ["\(entry.preferredName) \(value) (default)"]
      }
      return values.map { entry.preferredName + ($0.map { " \(shown($0))" } ?? "") }
    }
    return ["decant \(toolVersion) \(configuration.commandName ?? "")"] + options.map { "  " + $0 }
  }
}

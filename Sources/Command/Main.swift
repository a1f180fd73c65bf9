private import ArgumentParser
private import Foundation
private import Support
private import Synchronization
private import Workflow

/// Parses, runs, and turns what happened into the promised exit codes: 0 done, 1 a check was not
/// met, 2 unusable input or arguments, 130 interrupted.
@main
enum Main {
  static func main() async {
    signal(SIGPIPE, SIG_IGN)
    StandardStreams.open()
    let work = Task { () -> Int32 in
      do {
        try EmptyArgument.refuse(CommandLine.arguments.dropFirst())
        try refuseMisspelling(CommandLine.arguments.dropFirst().first)
        var command = try Decant.parseAsRoot()
        if var asynchronous = command as? any AsyncParsableCommand {
          try await asynchronous.run()
        } else {
          try command.run()
        }
        return 0
      } catch {
        return report(error)
      }
    }
    // Who started the program with hang-ups ignored, as nohup does, wants it to go on.
    let signals = isIgnored(SIGHUP) ? [SIGINT, SIGTERM] : [SIGINT, SIGTERM, SIGHUP]
    let interrupts = signals.map { interruption($0) { work.cancel() } }
    let code = await work.value
    for interrupt in interrupts { interrupt.cancel() }
    exit(code)
  }

  /// Refuses what is nearly a command's name, with that name; the parser refuses what is none.
  private static func refuseMisspelling(_ argument: String?) throws {
    let commands = Decant.configuration.subcommands.compactMap { $0.configuration.commandName }
    guard let argument, !commands.contains(argument),
      let meant = nearestNames(to: argument, among: commands, within: 2).first
    else { return }
    throw ValidationError("Unexpected argument '\(argument)'; did you mean \(meant)?")
  }

  /// Says what went wrong and gives the exit code for it.
  private static func report(_ error: any Error) -> Int32 {
    if error is CancellationError || error is InterruptedCalibration {
      let kept =
        (error as? InterruptedCalibration).map { error in
          "; \(error)" + (error.remedy.map { "; \($0.sentence)" } ?? "")
        } ?? ""
      printError("decant: interrupted; nothing is left half written\(kept)")
      return 130
    }
    if let check = error as? CheckNotMet {
      printError("decant: \(check)")
      return 1
    }
    if Decant.exitCode(for: error) == .success {
      print(Decant.fullMessage(for: error))
      return 0
    }
    if Decant.exitCode(for: error) == .validationFailure {
      printError(Decant.fullMessage(for: error))
    } else {
      let remedy = (error as? any RemediableError)?.remedy.map { "; \($0.sentence)" } ?? ""
      printError("decant: \(error)\(remedy)")
    }
    return 2
  }

  /// Whether the program was started with this signal ignored.
  private static func isIgnored(_ number: Int32) -> Bool {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("SigIgn:") }
    let mask = line.flatMap {
      UInt64($0.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16)
    }
    return (mask ?? 0) >> UInt64(number - 1) & 1 == 1
  }

  /// A queue of its own: the shared ones have no thread to spare while all processors compute.
  private static let signalQueue = DispatchQueue(label: "signals", qos: .userInteractive)

  /// Calls `body` at the first signal of that number; a second one ends the program at
  /// once.
  private static func interruption(
    _ number: Int32, _ body: @escaping @Sendable () -> Void
  ) -> any DispatchSourceSignal {
    let source = DispatchSource.makeSignalSource(signal: number, queue: signalQueue)
    let count = Mutex(0)
    signal(number, SIG_IGN)
    source.setEventHandler {
      let times = count.withLock { value in
        value += 1
        return value
      }
      if times > 1 { _exit(130) }
      body()
    }
    source.resume()
    return source
  }
}

/// An argument without a letter, as a variable of a script that is not set makes one.
struct EmptyArgument: Error, CustomStringConvertible {
  /// What it is given to; `nil` for an argument that stands for itself.
  private let option: String?

  /// Options whose texts may be empty.
  private static let texts = ["-p", "--prompt", "-n", "--negative-prompt"]

  /// Refuses empty arguments, but for texts.
  static func refuse(_ arguments: some Collection<String>) throws {
    var last: String?
    for argument in arguments {
      let isText = texts.contains(last ?? "") || texts.contains { argument == $0 + "=" }
      if argument.isEmpty, !isText {
        throw EmptyArgument(option: last?.hasPrefix("-") == true ? last : nil)
      }
      if argument.hasPrefix("-"), argument.hasSuffix("="), !isText {
        throw EmptyArgument(option: String(argument.dropLast()))
      }
      last = argument
    }
  }

  var description: String {
    option.map { "\($0) is given an empty value; give it one, or leave \($0) out" }
      ?? "an argument is empty where the name of a file or folder is expected; is a variable not set?"
  }
}

/// Writes to standard error; that nobody can read it stops nothing.
func printError(_ line: String, terminator: String = "\n") {
  try? FileHandle.standardError.write(contentsOf: Data((line + terminator).utf8))
}

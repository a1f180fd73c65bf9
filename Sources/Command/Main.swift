private import ArgumentParser
private import Foundation
private import Support
private import Synchronization
private import Workflow

/// Parses the command line, runs the command and ends with its exit code: 0 for success, 1 for a
/// check that failed, 2 for unusable input or arguments, 130 for an interrupt.
@main
enum Main {
  static func main() async {
    signal(SIGPIPE, SIG_IGN)
    StandardStreams.open()
    let work = Task { () -> Int32 in
      do {
        try CommandLineCheck.check(Array(CommandLine.arguments.dropFirst()))
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
    // A program that starts with hang-ups ignored, as under nohup, goes on after one.
    let signals = isIgnored(SIGHUP) ? [SIGINT, SIGTERM] : [SIGINT, SIGTERM, SIGHUP]
    let interrupts = signals.map { interruption($0) { work.cancel() } }
    let code = await work.value
    for interrupt in interrupts { interrupt.cancel() }
    exit(code)
  }

  /// Prints the error and returns its exit code.
  private static func report(_ error: any Error) -> Int32 {
    if error is CancellationError || error is any InterruptedJob {
      let kept =
        (error as? any InterruptedJob).map { error in
          "; \(error)" + (error.remedy.map { "; \($0.sentence)" } ?? "")
        } ?? ""
      printError(bounded(message: "decant: interrupted; nothing is left half written\(kept)"))
      return 130
    }
    if let usage = error as? UsageError {
      printError("\(usage)")
      return 2
    }
    if let check = error as? CheckNotMet {
      printError(bounded(message: "decant: \(check)"))
      return 1
    }
    if Decant.exitCode(for: error) == .success {
      try? StandardStreams.printResult(Decant.fullMessage(for: error))
      return 0
    }
    if Decant.exitCode(for: error) == .validationFailure {
      printError(Decant.fullMessage(for: error))
    } else {
      let remedy = (error as? any RemediableError)?.remedy.map { "; \($0.sentence)" } ?? ""
      printError(bounded(message: "decant: \(error)\(remedy)"))
    }
    return 2
  }

  /// Whether the parent process set this signal to be ignored.
  private static func isIgnored(_ number: Int32) -> Bool {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("SigIgn:") }
    let mask = line.flatMap {
      UInt64($0.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16)
    }
    return (mask ?? 0) >> UInt64(number - 1) & 1 == 1
  }

  /// A separate queue: the shared queues have no free thread while all processors compute.
  private static let signalQueue = DispatchQueue(label: "signals", qos: .userInteractive)

  /// Calls `body` at the first signal of that number. A second signal ends the program at once.
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

/// Writes to standard error; see `StandardStreams`, which alone prints.
func printError(_ line: String) { StandardStreams.printError(line) }

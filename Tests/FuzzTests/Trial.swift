import Foundation

/// One run of a program on a hostile input, with limits of time and memory.
struct Trial {
  enum Outcome: Equatable {
    /// Exit code 0 or 1: the input was read.
    case read
    /// Exit code 2, with a message.
    case refused
    /// What must not happen, in words.
    case failed(String)
  }

  let outcome: Outcome
  let seconds: Double
  /// The largest resident memory that was seen, in MB.
  let megabytes: Int

  /// The limits of every input.
  static let seconds = 30.0
  static let megabytes = 1000

  /// Runs the program at `path` in `folder`.
  static func run(
    _ path: String, _ arguments: [String], in folder: String, limit: Double = seconds
  ) throws -> Trial {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    // A report of a crash takes seconds.
    let settings = ["SWIFT_BACKTRACE": "enable=no", "OPENBLAS_NUM_THREADS": "1"]
    process.environment = ProcessInfo.processInfo.environment.merging(settings) { $1 }
    process.standardInput = FileHandle.nullDevice
    // Files, not pipes: a full pipe would stop the program.
    let logs = ["output", "errors"].map { folder + "/." + $0 }
    for log in logs { try Data().write(to: URL(fileURLWithPath: log)) }
    process.standardOutput = try FileHandle(forWritingTo: URL(fileURLWithPath: logs[0]))
    process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: logs[1]))
    let start = ContinuousClock.now
    try process.run()
    var megabytes = 0
    var fault: String?
    while process.isRunning {
      megabytes = max(megabytes, residentMegabytes(process.processIdentifier))
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      if seconds > limit { fault = "runs for more than \(limit) s" }
      if megabytes > Self.megabytes { fault = "takes more than \(Self.megabytes) MB" }
      if fault != nil { kill(process.processIdentifier, SIGKILL) }
      usleep(2000)
    }
    process.waitUntilExit()
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let (output, errors) = (try text(logs[0]), try text(logs[1]))
    let outcome =
      fault.map { .failed($0) } ?? judged(process, output: output, errors: errors, folder)
    return Trial(outcome: outcome, seconds: seconds, megabytes: megabytes)
  }

  private static func judged(
    _ process: Process, output: String, errors: String, _ folder: String
  ) -> Outcome {
    let code = process.terminationStatus
    if process.terminationReason == .uncaughtSignal {
      return .failed("ended by signal \(code): \(errors.suffix(300))")
    }
    for (name, text) in [("output", output), ("errors", errors)] {
      let control = text.unicodeScalars.first {
        ($0.properties.generalCategory == .control || $0 == "\u{202e}" || $0 == "\u{2028}")
          && $0 != "\n" && $0 != "\t"
      }
      if let control { return .failed("prints U+\(String(control.value, radix: 16)) to \(name)") }
    }
    let lines = errors.split(separator: "\n")
    if lines.contains(where: { $0.hasPrefix("decant: forged") || $0.hasPrefix("note: forged") }) {
      return .failed("prints a line that the input forged")
    }
    if errors.utf8.count > 100_000 { return .failed("prints \(errors.utf8.count) bytes of errors") }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    if let partial = names.first(where: { $0.hasSuffix(".partial") }) {
      return .failed("leaves \(partial)")
    }
    switch code {
    case 0, 1: return .read
    case 2:
      return lines.contains { $0.hasPrefix("decant: ") }
        ? .refused : .failed("refuses without words")
    default: return .failed("exit code \(code)")
    }
  }

  private static func text(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
  }

  /// The largest resident memory of a process so far; 0 for one that has ended.
  private static func residentMegabytes(_ process: Int32) -> Int {
    let status =
      (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return (line?.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) } ?? 0) / 1000
  }
}

private import Foundation
private import Support

/// Runs this program again in a child process and returns what it prints to standard output.
///
/// Cancelling the task terminates the child.
///
/// - Throws: ``JobError`` with the child's message when the child fails, or `CancellationError`.
func outputOfChild(_ arguments: [String]) async throws -> String {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/proc/self/exe")
  process.arguments = arguments
  process.standardInput = FileHandle.nullDevice
  let (output, errors) = (Pipe(), Pipe())
  process.standardOutput = output
  process.standardError = errors
  let (text, message) = try await withTaskCancellationHandler {
    try Cancellation.check()
    try process.run()
    // A cancellation before the start found no process to terminate.
    if Cancellation.isRequested { process.terminate() }
    return await withCheckedContinuation { continuation in
      // A thread that may wait; threads of the cooperative pool must not.
      Thread.detachNewThread {
        // A quiet child prints at most one message to standard error, which fits into the pipe.
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let message = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        continuation.resume(
          returning: (
            String(decoding: text, as: UTF8.self), String(decoding: message, as: UTF8.self)
          ))
      }
    }
  } onCancel: {
    if process.isRunning { process.terminate() }
  }
  try Cancellation.check()
  if process.terminationReason == .uncaughtSignal {
    throw JobError(
      "a child process was ended by signal \(process.terminationStatus); signal 9 means too little "
        + "memory")
  }
  guard process.terminationStatus == 0 else {
    let line =
      message.split(separator: "\n").last.map(String.init)
      ?? "a child process failed with exit code \(process.terminationStatus)"
    let prefix = "decant: "
    throw JobError(line.hasPrefix(prefix) ? String(line.dropFirst(prefix.count)) : line)
  }
  return text
}

private import Foundation
private import Support
private import Synchronization
internal import Workflow

/// Shows a job's events on standard error: a bar on a terminal, plain lines elsewhere.
final class ProgressPrinter: Sendable {
  private struct State {
    var stage = ""
    var started = ContinuousClock.now
    var shown = ContinuousClock.now
    var hasBar = false
    var lastPercent = -1
  }

  private let state = Mutex(State())
  private let isQuiet: Bool
  private let isVerbose: Bool
  private let isTerminal = isatty(2) == 1

  init(quiet: Bool, verbose: Bool) {
    isQuiet = quiet
    isVerbose = verbose
  }

  func show(_ event: JobEvent) {
    if isQuiet { return }
    state.withLock { state in
      switch event {
      case .stage(let name):
        clear(&state)
        state.stage = name
        state.started = .now
        state.shown = isTerminal ? .now - .seconds(60) : .now
        state.lastPercent = -1
        if !isTerminal || isVerbose { printError("\(name) …") }
      case .note(let text, let remedy):
        clear(&state)
        printError("note: \(text)" + (remedy.map { "; \($0.sentence)" } ?? ""))
      case .progress(let done, let total):
        progress(done, max(1, total), &state)
      }
    }
  }

  /// Removes the bar, so that what follows stands on a line of its own.
  func finish() {
    state.withLock { clear(&$0) }
  }

  private func clear(_ state: inout State) {
    if state.hasBar { write("\r\u{1b}[K") }
    state.hasBar = false
  }

  private func progress(_ done: Int, _ total: Int, _ state: inout State) {
    let now = ContinuousClock.now
    let percent = min(100, done * 100 / total)
    if isTerminal {
      guard now - state.shown > .milliseconds(80) || done >= total else { return }
      state.shown = now
      state.hasBar = true
      let filled = percent * 24 / 100
      let bar = String(repeating: "█", count: filled) + String(repeating: "·", count: 24 - filled)
      write(
        "\r\u{1b}[K\(state.stage) \(bar) \(percent) %\(remaining(done, total, now - state.started))"
      )
    } else if now - state.shown > .seconds(10), percent > state.lastPercent {
      state.shown = now
      state.lastPercent = percent
      printError("\(state.stage): \(percent) %\(remaining(done, total, now - state.started))")
    }
  }

  private func remaining(_ done: Int, _ total: Int, _ elapsed: Duration) -> String {
    guard done > 0, total > done, elapsed > .seconds(2) else { return "" }
    let seconds = Int((elapsed * Double(total - done) / Double(done)).components.seconds)
    return seconds >= 60 ? ", \(seconds / 60) min \(seconds % 60) s left" : ", \(seconds) s left"
  }

  private func write(_ text: String) {
    printError(text, terminator: "")
  }
}

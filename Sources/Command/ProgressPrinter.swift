private import Foundation
private import Support
private import Synchronization
internal import Workflow

/// Prints a job's events on standard error: a bar on a terminal, plain lines elsewhere.
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

  /// Prints the lines with --verbose.
  func showSettings(_ lines: @autoclosure () -> [String]) {
    if isVerbose { for line in lines() { printError(line) } }
  }

  func show(_ event: JobEvent) {
    if isQuiet { return }
    state.withLock { state in
      switch event {
      case .stage(let stage):
        endStage(&state)
        state.stage = bounded(message: stage.phrase)
        state.started = .now
        state.shown = isTerminal ? .now - .seconds(60) : .now
        state.lastPercent = -1
        if !isTerminal || isVerbose { printError("\(state.stage) …") }
      case .note(let text, let remedy):
        clear(&state)
        printError(
          bounded(message: "note: \(text)" + (remedy.map { "; \($0.sentence)" } ?? "")))
      case .progress(let done, let total):
        progress(done, max(1, total), &state)
      case .latents: break
      }
    }
  }

  /// Ends the last stage and removes the bar. A second call does nothing.
  func finish() {
    state.withLock { endStage(&$0) }
  }

  private func endStage(_ state: inout State) {
    clear(&state)
    if isVerbose, !state.stage.isEmpty {
      printError("\(state.stage): \(formatted((.now - state.started).seconds, decimals: 2)) s")
    }
    state.stage = ""
  }

  private func clear(_ state: inout State) {
    if state.hasBar { StandardStreams.redraw("") }
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
      StandardStreams.redraw(
        "\(state.stage) \(bar) \(percent) %\(remaining(done, total, now - state.started))")
    } else if now - state.shown > .seconds(isVerbose ? 1 : 10), percent > state.lastPercent {
      state.shown = now
      state.lastPercent = percent
      printError("\(state.stage): \(percent) %\(remaining(done, total, now - state.started))")
    }
  }

  /// An estimate from the speed so far. That of the first moments is no measure: caches are empty.
  private func remaining(_ done: Int, _ total: Int, _ elapsed: Duration) -> String {
    guard total > done, done >= total / 50, done > 0, elapsed > .seconds(4) else { return "" }
    let seconds = Int((elapsed * Double(total - done) / Double(done)).components.seconds)
    return seconds >= 60 ? ", \(seconds / 60) min \(seconds % 60) s left" : ", \(seconds) s left"
  }
}

internal import Execution
private import Kernels
package import Models
package import Quantization
private import Synchronization
package import Tensors

/// Observes the U-Net during one run and keeps what the inputs of its modules look like.
///
/// The sampler says before each call which timestep it asks for and which passes its batch holds;
/// in between, every module's input is split by pass and added to the statistics of that band.
package final class StatisticsCollector: ActivationObserver {
  private struct State {
    var statistics: ActivationStatistics
    var timestep = 0.0
    var passes: [GuidancePass] = []
    var fault: CalibrationError?
  }

  private let state: Mutex<State>
  private let run: CalibrationRun
  private let onCall: @Sendable () -> Void

  /// - Parameters:
  ///   - modules: the component's list.
  ///   - run: for messages.
  ///   - onCall: called at each call of the U-Net, for progress.
  package init(
    modules: [ModuleSpec], bands: TimestepBands, run: CalibrationRun,
    onCall: @escaping @Sendable () -> Void = {}
  ) {
    state = Mutex(State(statistics: ActivationStatistics(modules: modules, bands: bands)))
    self.run = run
    self.onCall = onCall
  }

  /// Announces a call of the U-Net.
  ///
  /// - Parameter passes: in the order in which the batch holds them, equally many samples each.
  package func begin(timestep: Double, passes: [GuidancePass]) {
    state.withLock {
      $0.timestep = timestep
      $0.passes = passes
    }
    onCall()
  }

  package func willRun(module name: String, input: Tensor) {
    let (passes, timestep, hasFault) = state.withLock {
      ($0.passes, $0.timestep, $0.fault != nil)
    }
    precondition(!passes.isEmpty, "'\(name)' ran before a call was announced")
    if hasFault { return }
    // Summaries are the long part, and are made outside of the lock.
    let summaries = passes.indices.map {
      summarize(input, samples: $0..<$0 + 1, of: passes.count)
    }
    state.withLock { state in
      let band = state.statistics.bands.band(of: timestep)
      for (pass, summary) in zip(passes, summaries) {
        switch state.statistics.update(name, { $0.add(summary, band: band, pass: pass) }) {
        case nil: state.fault = .unknownModule(name)
        case false: state.fault = .nonfinite(module: name, timestep: timestep, run: run)
        default: break
        }
      }
    }
  }

  /// What was seen.
  ///
  /// - Throws: the first fault that an input had.
  package func finish() throws(CalibrationError) -> ActivationStatistics {
    let (statistics, fault) = state.withLock { ($0.statistics, $0.fault) }
    if let fault { throw fault }
    return statistics
  }
}

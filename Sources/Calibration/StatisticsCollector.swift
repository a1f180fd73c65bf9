internal import Execution
private import Kernels
package import Models
package import Quantization
private import Synchronization
package import Tensors

/// Observes the U-Net during one run and collects statistics of its modules' inputs.
///
/// Before each U-Net call, the sampler states the timestep and the guidance branches of the batch.
/// The collector splits the input of each module by branch and adds it to the timestep's band.
package final class StatisticsCollector: ActivationObserver {
  /// The statistics so far, and the current U-Net call.
  private struct State {
    var statistics: ActivationStatistics
    var timestep = 0.0
    var branches: [GuidanceBranch] = []
    var fault: CalibrationError?
  }

  private let state: Mutex<State>
  private let run: CalibrationRun
  private let onCall: @Sendable () -> Void

  /// - Parameters:
  ///   - modules: the component's module list.
  ///   - run: the run, for messages.
  ///   - onCall: called before each U-Net call, for progress.
  package init(
    modules: [ModuleSpec], bands: TimestepBands, run: CalibrationRun,
    onCall: @escaping @Sendable () -> Void = {}
  ) {
    state = Mutex(State(statistics: ActivationStatistics(modules: modules, bands: bands)))
    self.run = run
    self.onCall = onCall
  }

  /// States the timestep and branches of the next U-Net call.
  ///
  /// - Parameter branches: in the order of the batch, with the same number of samples each.
  package func begin(timestep: Double, branches: [GuidanceBranch]) {
    state.withLock {
      $0.timestep = timestep
      $0.branches = branches
    }
    onCall()
  }

  package func willRun(module name: String, input: Tensor) {
    let (branches, timestep, hasFault) = state.withLock {
      ($0.branches, $0.timestep, $0.fault != nil)
    }
    precondition(!branches.isEmpty, "'\(name)' ran before a call of `begin`")
    if hasFault { return }
    // Summaries take most of the time, so they are made outside the lock.
    let summaries = branches.indices.map {
      summarize(input, samples: $0..<$0 + 1, of: branches.count)
    }
    state.withLock { state in
      let band = state.statistics.bands.band(of: timestep)
      for (branch, summary) in zip(branches, summaries) {
        switch state.statistics.update(name, { $0.add(summary, band: band, branch: branch) }) {
        case nil: state.fault = .unknownModule(name)
        case .nonfinite: state.fault = .nonfinite(module: name, timestep: timestep, run: run)
        case .overflow: state.fault = .overflow(module: name)
        case .added: break
        }
      }
    }
  }

  /// The statistics of the run.
  ///
  /// - Throws: ``CalibrationError`` when an input was not finite, a sum was too large, or a module
  ///   was not in the list.
  package func finish() throws(CalibrationError) -> ActivationStatistics {
    let (statistics, fault) = state.withLock { ($0.statistics, $0.fault) }
    if let fault { throw fault }
    return statistics
  }
}

import Execution
import Kernels
import Sampling
import Synchronization
import Tensors

/// Records the output of each block of the reference in one run.
final class RecordingTap: ActivationObserver, SamplingObserver {
  private let state = Mutex<(order: [String], outputs: [String: Tensor])>(([], [:]))

  func didRun(block name: String, output: Tensor) {
    state.withLock {
      if $0.outputs.updateValue(output, forKey: name) == nil { $0.order.append(name) }
    }
  }

  func activationObserver(for call: UNetCall) -> (any ActivationObserver)? { self }

  /// Block names in the order of execution.
  var names: [String] { state.withLock(\.order) }

  func output(_ name: String) -> Tensor? { state.withLock { $0.outputs[name] } }
}

/// Compares the output of each block with the reference's for the same inputs.
final class ComparingTap: ActivationObserver, SamplingObserver {
  private let reference: RecordingTap
  private let renames: BlockRenames
  private let state = Mutex<[String: Double]>([:])

  init(_ reference: RecordingTap, renames: BlockRenames) {
    self.reference = reference
    self.renames = renames
  }

  func didRun(block name: String, output: Tensor) {
    let original = renames.original(of: name)
    // Blocks that stripping removed or reshaped have no counterpart.
    guard let expected = reference.output(original), expected.shape == output.shape else { return }
    let measures = ErrorMeasures(reference: expected.values, candidate: output.values)
    state.withLock { $0[original] = measures.relativeRMS }
  }

  func activationObserver(for call: UNetCall) -> (any ActivationObserver)? { self }

  /// Relative error by the reference's block name.
  var errors: [String: Double] { state.withLock { $0 } }
}

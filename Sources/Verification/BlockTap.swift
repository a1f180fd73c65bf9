import Execution
import Kernels
import Sampling
import Synchronization
import Tensors

/// Keeps what each block of the reference gave in one run.
final class RecordingTap: ActivationObserver, SamplingObserver {
  private let state = Mutex<(order: [String], outputs: [String: Tensor])>(([], [:]))

  func didRun(block name: String, output: Tensor) {
    state.withLock {
      if $0.outputs.updateValue(output, forKey: name) == nil { $0.order.append(name) }
    }
  }

  func activationObserver(for call: UNetCall) -> (any ActivationObserver)? { self }

  /// Blocks in the order in which they ran.
  var names: [String] { state.withLock(\.order) }

  func output(_ name: String) -> Tensor? { state.withLock { $0.outputs[name] } }
}

/// Compares what each block gives with what the reference's gave for the same inputs.
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
    // A level that lost its attention, or a block of another shape, has no counterpart.
    guard let expected = reference.output(original), expected.shape == output.shape else { return }
    let measures = ErrorMeasures(reference: expected.values, candidate: output.values)
    state.withLock { $0[original] = measures.relativeRMS }
  }

  func activationObserver(for call: UNetCall) -> (any ActivationObserver)? { self }

  /// Relative errors by the reference's block name.
  var errors: [String: Double] { state.withLock { $0 } }
}

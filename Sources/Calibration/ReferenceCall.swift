package import Execution
internal import Models
package import Sampling
private import Synchronization
package import Tensors

/// One step of the original model during a calibration: the U-Net's input and its predictions.
///
/// Later measurements evaluate the U-Net again on the same input (teacher-forced), so that errors do
/// not accumulate over steps. The text states are not stored: the text encoder computes them from
/// the run's prompts.
package struct ReferenceCall: Sendable, Equatable {
  package let run: CalibrationRun
  /// Index into the scheduler's timesteps.
  package let step: Int
  package let timestep: Float
  /// The U-Net's `sample`, after the scheduler's `scale_model_input`: [1, C, h, w].
  package let input: Tensor
  /// The prediction without text; `nil` without guidance. The shape is [1, C, h, w].
  package let unconditional: Tensor?
  package let conditional: Tensor

  package init(
    run: CalibrationRun, step: Int, timestep: Float, input: Tensor, unconditional: Tensor?,
    conditional: Tensor
  ) {
    self.run = run
    self.step = step
    self.timestep = timestep
    self.input = input
    self.unconditional = unconditional
    self.conditional = conditional
  }

  /// The prediction after classifier-free guidance.
  package func guided(scale: Double) -> Tensor {
    guard let unconditional else { return conditional }
    var guided = unconditional
    for index in guided.values.indices {
      guided.values[index] +=
        Float(scale) * (conditional.values[index] - unconditional.values[index])
    }
    return guided
  }
}

extension ReferenceCall: Comparable {
  /// Orders by run, then by step.
  package static func < (left: ReferenceCall, right: ReferenceCall) -> Bool {
    left.run == right.run ? left.step < right.step : left.run < right.run
  }
}

/// Recorded calls, and the settings of the runs that they come from.
package struct RecordedCalls: Sendable {
  package let calls: [ReferenceCall]
  package let settings: CalibrationSettings

  package init(_ calls: [ReferenceCall], _ settings: CalibrationSettings) {
    self.calls = calls
    self.settings = settings
  }
}

/// Records some steps of a run. Passes the timestep and branches of each U-Net call to a collector of
/// statistics, where there is one.
package final class CallRecorder: SamplingObserver {
  private let collector: StatisticsCollector?
  private let run: CalibrationRun
  private let steps: Set<Int>
  private let recorded = Mutex<[ReferenceCall]>([])

  /// - Parameters:
  ///   - collector: `nil` collects no statistics.
  ///   - steps: the indices of the steps to record.
  package init(
    _ collector: StatisticsCollector? = nil, run: CalibrationRun, recording steps: Set<Int>
  ) {
    self.collector = collector
    self.run = run
    self.steps = steps
  }

  /// The recorded steps, in their order.
  package var calls: [ReferenceCall] { recorded.withLock { $0 } }

  package func activationObserver(for call: UNetCall) -> (any ActivationObserver)? {
    collector?.begin(timestep: Double(call.timestep), branches: call.branches)
    return collector
  }

  package func didStep(_ step: SamplingStep) {
    guard steps.contains(step.index) else { return }
    let call = ReferenceCall(
      run: run, step: step.index, timestep: step.timestep, input: step.modelInput,
      unconditional: step.prediction.unconditional, conditional: step.prediction.conditional)
    recorded.withLock { $0.append(call) }
  }
}

/// The tensors of a call in a calibration file. The raw value ends their names.
enum CallTensor: String, CaseIterable {
  case input
  case unconditional
  case conditional

  /// `calls.3.input`.
  func name(of index: Int) -> String { "calls.\(index).\(rawValue)" }

  func tensor(of call: ReferenceCall) -> Tensor? {
    switch self {
    case .input: call.input
    case .unconditional: call.unconditional
    case .conditional: call.conditional
    }
  }
}

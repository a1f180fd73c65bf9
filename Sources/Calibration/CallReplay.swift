package import Execution
package import Models
package import Sampling
package import Tensors

/// Evaluates a U-Net on the inputs of recorded calls (teacher-forced): every model gets the inputs of
/// the original, so that errors do not accumulate over steps.
package struct CallReplay: Sendable {
  package let calls: [ReferenceCall]
  private let sampler: Sampler
  private let conditionings: [CalibrationRun: Sampler.Conditioning]

  /// - Parameters:
  ///   - settings: those of the calls' calibration.
  ///   - sampler: the model. Its text encoders compute the text states.
  /// - Throws: an error of the text encoders' weights, or `CancellationError`.
  package init(
    _ calls: [ReferenceCall], _ settings: CalibrationSettings, by sampler: Sampler
  ) throws {
    self.calls = calls
    self.sampler = sampler
    var conditionings: [CalibrationRun: Sampler.Conditioning] = [:]
    for call in calls where conditionings[call.run] == nil {
      conditionings[call.run] = try sampler.conditioning(for: settings.request(for: call.run))
    }
    self.conditionings = conditionings
  }

  /// The same calls and text states for another U-Net.
  package init(_ other: CallReplay, by sampler: Sampler) {
    calls = other.calls
    conditionings = other.conditionings
    self.sampler = sampler
  }

  /// The same calls and text states for the U-Net of another model.
  package func replacingUNet(of model: Model) throws -> CallReplay {
    CallReplay(self, by: try Sampler(sampler, unetOf: model))
  }

  /// The inputs of a call that are not recorded: the text states and the guidance.
  package func conditioning(of index: Int) -> Sampler.Conditioning {
    // Every run of the calls has one.
    conditionings[calls[index].run]!
  }

  /// Evaluates one call.
  ///
  /// - Parameters:
  ///   - input: replaces the recorded input; of the same shape.
  ///   - state: a state of this call to continue from.
  ///   - recording: called with the U-Net's state before each stage.
  ///   - observer: observes the inputs and outputs of the U-Net's layers.
  package func predict(
    _ index: Int, input: Tensor? = nil, from state: UNetState? = nil,
    recording: ((UNetState) throws -> Void)? = nil, observer: (any ActivationObserver)? = nil
  ) throws -> NoisePrediction {
    let call = calls[index]
    return try sampler.predict(
      input ?? call.input, timestep: call.timestep, conditioning: conditioning(of: index),
      step: call.step, from: state, recording: recording,
      observer: observer.map(FixedObserver.init))
  }
}

extension CallReplay {
  /// Evaluates one call up to a stage.
  ///
  /// - Parameters:
  ///   - state: a state of this call to continue from.
  ///   - stage: the index of the first stage that is not evaluated, at most the number of stages.
  /// - Returns: the state before `stage`.
  func advance(
    _ index: Int, from state: UNetState?, to stage: Int, observer: any ActivationObserver
  ) throws -> UNetState {
    do {
      _ = try predict(
        index, from: state,
        recording: { if $0.stage >= stage { throw ReachedState(state: $0) } }, observer: observer)
    } catch let reached as ReachedState {
      return reached.state
    }
    preconditionFailure("stage \(stage) was not reached")
  }
}

/// Ends a call at a state.
private struct ReachedState: Error {
  let state: UNetState
}

/// Gives the same observer to each U-Net call.
private final class FixedObserver: SamplingObserver {
  private let observer: any ActivationObserver

  init(_ observer: any ActivationObserver) { self.observer = observer }

  func activationObserver(for call: UNetCall) -> (any ActivationObserver)? { observer }
}

extension CalibrationSettings {
  /// The sampler's request of a run.
  package func request(for run: CalibrationRun) -> SamplingRequest {
    var request = SamplingRequest(prompt: "")
    request.setPrompt(Prompt(run.prompt, negativePrompt: run.negativePrompt))
    request.seed = run.seed
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.scheduler = scheduler
    request.setSize(run.size)
    return request
  }
}

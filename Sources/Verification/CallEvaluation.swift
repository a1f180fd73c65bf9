import Calibration
import Models
import Sampling
import Tensors

/// The results of a model in recorded calls.
struct CallEvaluation {
  let errors: CallErrors
  /// Relative error by the reference's block name, for each call whose blocks are compared.
  let blocks: [[String: Double]]

  /// - Parameters:
  ///   - replay: evaluates the calls with the model.
  ///   - roundsToHalf: whether the U-Net's input and its predictions are rounded to float16.
  ///   - taps: the outputs of the reference's blocks, by index of the call.
  ///   - progress: called after each call.
  /// - Precondition: there are calls.
  init(
    _ replay: CallReplay, guidanceScale: Double, roundsToHalf: Bool, taps: [Int: RecordingTap],
    renames: BlockRenames, progress: (ReferenceCall) -> Void
  ) throws {
    var errors: [CallError] = []
    var blocks: [[String: Double]] = []
    for (index, call) in replay.calls.enumerated() {
      let tap = taps[index].map { ComparingTap($0, renames: renames) }
      let found = try replay.predict(
        index, input: roundsToHalf ? call.input.roundedToHalf : nil, observer: tap)
      var predictions = Predictions(
        conditional: found.conditional, unconditional: found.unconditional, guided: found.guided)
      if roundsToHalf {
        let rounded = ReferenceCall(
          run: call.run, step: call.step, timestep: call.timestep, input: call.input,
          unconditional: found.unconditional?.roundedToHalf,
          conditional: found.conditional.roundedToHalf)
        predictions = Predictions(
          conditional: rounded.conditional, unconditional: rounded.unconditional,
          guided: rounded.guided(scale: guidanceScale).roundedToHalf)
      }
      errors.append(CallError(call, predictions, guidanceScale: guidanceScale))
      if let tap { blocks.append(tap.errors) }
      progress(call)
    }
    self.errors = CallErrors(errors)
    self.blocks = blocks
  }
}

extension Tensor {
  fileprivate var roundedToHalf: Tensor {
    Tensor(
      shape: shape, values: StoredTensor(shape: shape, floats: values, as: .f16).floats())
  }
}

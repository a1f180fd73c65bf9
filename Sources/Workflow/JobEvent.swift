package import Support
package import Tensors

/// An event of a running job or of a session's request.
package enum JobEvent: Sendable {
  /// A stage begins.
  case stage(Stage)
  /// The progress of the stage, in units of the stage. It never falls within a stage.
  case progress(done: Int, total: Int)
  /// The latents after a sampling step, [count, channels, height / 8, width / 8], for a caller that
  /// requested them. Steps count from 1.
  case latents(step: Int, total: Int, Tensor)
  /// A fact that a user should know and that is not an error, with what a user can do about it.
  case note(String, remedy: Remedy? = nil)
}

package typealias EventSink = @Sendable (JobEvent) -> Void

/// A stage of a job, with the facts that a client words.
package enum Stage: Hashable, Sendable {
  /// Models are opened and checked, or read completely to identify them. Holds their paths.
  case reading([String])
  /// The model at a path is prepared to run.
  case loading(String)
  /// The checksums and the structure of a file are checked.
  case checking(String)
  /// Every tensor of the model at a path is read and its numbers are checked.
  case checkingTensors(String)
  /// The weights of a component are read, to find rows that rounding would lose to one large weight.
  case checkingOutliers(String)
  /// The sizes and rounding errors of the layers of the U-Net are measured in every type that may be
  /// chosen.
  case measuringTypes
  /// The error of the guided prediction of the quantized model is measured.
  case measuringError(calls: Int)
  /// The layers of the U-Net are rounded, with the inputs that they have in recorded calls.
  case rounding(calls: Int)
  /// Images are generated with the model of that name, for a prompt of `count`. Prompts count from
  /// 0.
  case generating(model: String, prompt: Int, of: Int)
  /// One component of a model runs.
  case computing(ForwardJob.Component)
  /// Statistics of activations are collected.
  case calibrating(images: Int, sizes: [ImageSize])
  /// A call of the U-Net is timed, to estimate the job's time.
  case estimating
  /// The units of the U-Net are rounded one after the other, in recorded calls.
  case measuringSensitivities(units: Int, calls: Int)
  /// The blocks that the U-Net can lose are removed one after the other, in recorded calls.
  case measuringBlocks(units: Int, calls: Int)
  /// Blocks to remove are chosen by the errors that sets of them cause.
  case choosingBlocks
  /// A model is written to a path.
  case writing(String)
  /// The results of a verification are stored in the model at a path.
  case recording(String)
  /// The models of these names are compared.
  case verifying(candidate: String, reference: String)
  /// A model's speed is measured; `compute` is `nil` where the job measures one model in one
  /// arithmetic.
  case measuring(model: String, compute: Compute?)
  /// The speed of single operations is measured.
  case measuringKernels
  /// The speed of lossless coding is measured.
  case measuringCoding
}

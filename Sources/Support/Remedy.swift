/// A choice that a user can make, independent of the user interface.
///
/// The command line presents a setting as an option (`--force`), a server as a field of a request.
package enum Setting: String, CaseIterable, Sendable {
  case replace, resume, skipVerification
  // Input.
  case variant, ema, prediction, allowNonfinite
  case adapters, allowUnused, unet, vae, textEncoder, textEncoder2
  // Output.
  case output, component, outputFormat, program, outputVariant, maximumShardSize, numbering, coding
  case strict
  // Storage of weights.
  case calibration, type, textEncoderType, keep, only, assign
  case outputSize, targetBits, maxError, vram, plan
  // Stripping.
  case recipe, drop, toSize, toParameters
  // Sampling and measuring.
  case prompts, seeds, size, scheduler, guidanceScale
  case originalSize, crop, targetSize, initImage, mask, strength, latents, saveLatents, grid
  // Serving.
  case token, port
}

/// What a user can do about an error.
package indirect enum Remedy: Hashable, Sendable {
  /// Use a setting: a switch when `values` is empty, else one of the values.
  case choose(Setting, [String] = [], purpose: String = "")
  /// Add the components that a model lacks, each by its setting.
  case addComponents([Setting])
  /// Use another value of a setting.
  case adjust(Setting, Adjustment)
  /// Omit a setting, or several.
  case leaveOut(Setting, and: [Setting] = [])
  /// Store weights in one of these types.
  case storeAs([String])
  /// Give the output another name.
  case renameOutput
  /// Merge the adapter at this path with a smaller scale.
  case reduceScale(adapter: String)
  /// Quantize the model that the weights were quantized from.
  case quantizeOriginal
  /// Read the model that the weights were quantized from.
  case readOriginal
  /// Quantize that model to this type.
  case quantizeOriginalAs(String)
  /// Make a calibration of this model.
  case recalibrate
  /// Check the model's weights for damage.
  case checkWeights
  /// Run the same job again, which continues.
  case repeatCommand
  /// Fetch the input file again.
  case downloadAgain
  /// Fetch the file that a Git LFS pointer stands for.
  case pullFromGitLFS
  /// An action for which there is no setting, as a clause such as `name the model itself`.
  case act(String)
  /// Any one of the remedies.
  case either([Remedy])

  /// How a setting's value should differ.
  package enum Adjustment: String, Sendable {
    case smaller, larger, other
  }
}

/// An error whose description states facts and which carries the remedy separately. Each client
/// words the remedy for its user interface.
package protocol RemediableError: Error, CustomStringConvertible {
  /// The remedy; `nil` where the only one is another input.
  var remedy: Remedy? { get }
}

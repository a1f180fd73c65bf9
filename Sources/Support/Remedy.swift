/// Something that a user can choose, whatever program asks for it.
///
/// The command line words a setting as an option (`--force`), a server as a field of a request.
package enum Setting: String, CaseIterable, Sendable {
  case replace, resume
  // What is read.
  case variant, ema, prediction, allowNonfinite
  case adapters, allowUnused, unet, vae, textEncoder, textEncoder2
  // What is written.
  case outputFormat, program, outputVariant, maximumShardSize, numbering, coding
  // How weights are stored.
  case type, method, restType, keep, only, assign
  // What is stripped.
  case recipe, drop, transformerBlocks
  // What is painted or measured.
  case prompts, promptLimit, steps, seeds, size, scheduler, guidanceScale, negativePrompt
  case originalSize, crop, targetSize, initImage, mask, strength
  case calibration, merge
}

/// What a user can do about an error.
package indirect enum Remedy: Hashable, Sendable {
  /// Choose a setting: a switch where there are no values, else one of the values.
  case choose(Setting, [String] = [], purpose: String = "")
  /// Leave a setting out.
  case leaveOut(Setting)
  /// Do something that no setting does: a clause such as `name the model itself`.
  case act(String)
  /// Any one of these.
  case either([Remedy])
}

/// An error whose description states facts, and which carries what a user can do about it apart
/// from them. Clients add the remedy in their own words.
package protocol RemediableError: Error, CustomStringConvertible {
  /// `nil` where nothing can be done but to use another file.
  var remedy: Remedy? { get }
}

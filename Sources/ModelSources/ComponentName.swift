/// Names of a pipeline's parts, which are those of their folders in diffusers' layout.
///
/// A model may have components of other names, which are kept and not looked into; so names stay
/// texts, and these are the ones that something is known of.
package enum ComponentName {
  package static let unet = "unet"
  package static let vae = "vae"
  package static let textEncoder = "text_encoder"
  /// The second text encoder of SDXL, and the only one of its refiner.
  package static let textEncoder2 = "text_encoder_2"

  package static let textEncoders = [textEncoder, textEncoder2]
  package static let tokenizer = "tokenizer"
  /// The tokenizers' folders, in the order of ``textEncoders``.
  package static let tokenizers = [tokenizer, "tokenizer_2"]

  /// The folder of a text encoder's tokenizer; `nil` for other components.
  package static func tokenizer(of component: String) -> String? {
    textEncoders.firstIndex(of: component).map { tokenizers[$0] }
  }
}

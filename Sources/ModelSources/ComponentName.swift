package import Support

/// Names of a pipeline's components: the names of their folders in a diffusers folder.
///
/// Component names are strings, because a model may have components with other names. Decant keeps
/// those without interpreting them.
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

  /// The setting that adds or replaces a component; `nil` for a component without one.
  package static func setting(of component: String) -> Setting? {
    switch component {
    case unet: .unet
    case vae: .vae
    case textEncoder: .textEncoder
    case textEncoder2: .textEncoder2
    default: nil
    }
  }
}

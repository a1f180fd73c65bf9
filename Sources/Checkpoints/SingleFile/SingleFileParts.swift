import Formats
import Tensors

/// The tensors of a file, sorted by the part of a pipeline that their names say they are of.
struct SingleFileParts {
  /// Names below a prefix, and what they are called in the file.
  struct Part {
    var origins: [(name: String, origin: String)] = []
    /// Whether the prefix is one that text encoders of SDXL have.
    var isXL = false

    var names: [String] { origins.map(\.name) }
    var isEmpty: Bool { origins.isEmpty }

    func has(prefix: String) -> Bool { origins.contains { $0.name.hasPrefix(prefix) } }
  }

  private(set) var unet = Part()
  private(set) var vae = Part()
  /// The text encoder that is alone, or the first of two.
  private(set) var text = Part()
  private(set) var text2 = Part()
  /// Names of tensors that are of no part, the training's buffers not among them.
  private(set) var leftOut: [String] = []
  /// Names of the moving average of the U-Net.
  private var averages: [String] = []
  var hasMovingAverage: Bool { !averages.isEmpty }

  private enum Place { case unet, vae, text, textXL, text2 }

  /// What files put before the names of a part; longer ones first.
  private static let prefixes: [(String, Place)] = [
    ("model.diffusion_model.", .unet), ("first_stage_model.", .vae),
    ("conditioner.embedders.0.", .textXL), ("conditioner.embedders.1.", .text2),
    ("cond_stage_model.1.", .text2), ("cond_stage_model.", .text),
    ("text_encoder_2.", .text2), ("text_encoder.", .text), ("unet.", .unet), ("vae.", .vae),
  ]

  /// Names that a part alone begins with, where nothing has a prefix.
  private static let beginnings: [(String, Place)] = [
    ("input_blocks.", .unet), ("middle_block.", .unet), ("output_blocks.", .unet),
    ("time_embed.", .unet), ("time_embedding.", .unet), ("label_emb.", .unet),
    ("add_embedding.", .unet), ("out.", .unet), ("down_blocks.", .unet), ("mid_block.", .unet),
    ("up_blocks.", .unet), ("conv_in.", .unet), ("conv_out.", .unet), ("conv_norm_out.", .unet),
    ("encoder.down", .vae), ("encoder.mid", .vae), ("encoder.conv", .vae), ("encoder.norm", .vae),
    ("decoder.", .vae), ("quant_conv.", .vae), ("post_quant_conv.", .vae),
    ("text_model.", .text), ("transformer.", .text), ("embeddings.", .text),
    ("encoder.layers.", .text), ("final_layer_norm.", .text), ("text_projection", .text),
    ("token_embedding.", .text), ("positional_embedding", .text), ("ln_final.", .text),
    ("logit_scale", .text),
  ]

  init(_ weights: any WeightSource) {
    let names = weights.names
    let isWhole = names.contains { name in
      Self.prefixes.contains { name.hasPrefix($0.0) }
    }
    let ignored = Set(SingleFileFacts.ignored + SingleFileFacts.markers)
    for name in names {
      if name.hasPrefix("model_ema.") {
        // How far training was is stored there as well.
        if name.hasPrefix(AveragedNames.prefix) { averages.append(name) }
      } else if ignored.contains(name) {
        continue
      } else if isWhole, let (prefix, place) = Self.prefixes.first(where: { name.hasPrefix($0.0) })
      {
        add(String(name.dropFirst(prefix.count)), name, to: place)
      } else if !isWhole, let place = Self.beginnings.first(where: { name.hasPrefix($0.0) })?.1 {
        add(name, name, to: place)
      } else {
        leftOut.append(name)
      }
    }
  }

  var isEmpty: Bool { unet.isEmpty && vae.isEmpty && text.isEmpty && text2.isEmpty }

  /// Takes the moving average for the U-Net, in a file that has no other.
  mutating func takeMovingAverage() {
    for origin in averages {
      if let name = AveragedNames.dotted(origin) {
        add(name, origin, to: .unet)
      } else {
        leftOut.append(origin)
      }
    }
  }

  private mutating func add(_ name: String, _ origin: String, to place: Place) {
    // Buffers that came with old versions of the libraries, as whole numbers or, in merges, not.
    if name.hasSuffix("position_ids") || name.hasSuffix("logit_scale") { return }
    switch place {
    case .unet: unet.origins.append((name, origin))
    case .vae: vae.origins.append((name, origin))
    case .text: text.origins.append((name, origin))
    case .textXL:
      text.origins.append((name, origin))
      text.isXL = true
    case .text2: text2.origins.append((name, origin))
    }
  }
}

package import Tensors

/// How one program uses memory while it makes an image: the facts from which memory is estimated.
///
/// An ``OutputProfile`` states those of its program.
package struct ProgramMemory: Hashable, Sendable {
  /// Which components are in memory at the same time.
  package enum Residency: Hashable, Sendable {
    /// All of them, from the first step to the last.
    case allComponents
    /// The text encoders, then the U-Net, then the autoencoder. A program that keeps components
    /// until memory is scarce counts as such.
    case oneAfterAnother
  }

  /// How quantized weights take part in products.
  package enum QuantizedProducts: Hashable, Sendable {
    /// The kernel reads the codes. No copy of a weight is made.
    case asStored
    /// A layer's weights are widened before the product, which takes this many bytes a weight until
    /// the product is done.
    case widenedByLayer(bytes: Int)
    /// Int8 weights are multiplied by int8 activations (W8A8): a layer's inputs are rounded to
    /// int8, and its sums are int32.
    case integers
  }

  /// How attention is computed.
  package enum AttentionScores: Hashable, Sendable {
    /// In tiles (memory-efficient or flash attention), without a matrix of all scores.
    case tiled
    /// With a matrix of float32 scores: heads x queries x keys.
    case wholeMatrix
  }

  /// How convolutions are computed.
  package enum Convolutions: Hashable, Sendable {
    /// Without a copy of the input.
    case direct
    /// As a product with the unfolded input (im2col), which has a float16 number for each number of
    /// the kernel and pixel of the output.
    case unfolded
  }

  /// Bytes of one number of an activation.
  package var activationBytes: Int
  /// Whether the U-Net runs once a step for both halves of the guidance, and not once for each.
  package var batchesGuidance: Bool
  package var residency: Residency
  package var quantizedProducts: QuantizedProducts
  /// How float8 weights take part in products; `nil` for ``quantizedProducts``.
  package var float8Products: QuantizedProducts?
  package var scores: AttentionScores
  package var convolutions: Convolutions
  /// Whether the autoencoder's encoder is loaded for making an image from text.
  package var loadsEncoder: Bool
  /// The side, in pixels, of the tiles in which an image is decoded when it does not fit as a
  /// whole; `nil` where the program does so only on request.
  package var decoderTile: Int?

  package init(
    activationBytes: Int, batchesGuidance: Bool = true, residency: Residency = .allComponents,
    quantizedProducts: QuantizedProducts = .asStored, float8Products: QuantizedProducts? = nil,
    scores: AttentionScores = .tiled, convolutions: Convolutions = .direct,
    loadsEncoder: Bool = true, decoderTile: Int? = nil
  ) {
    self.activationBytes = activationBytes
    self.batchesGuidance = batchesGuidance
    self.residency = residency
    self.quantizedProducts = quantizedProducts
    self.float8Products = float8Products
    self.scores = scores
    self.convolutions = convolutions
    self.loadsEncoder = loadsEncoder
    self.decoderTile = decoderTile
  }

  /// How weights in an encoding take part in products. Plain numbers need no copy.
  package func products(of encoding: TensorEncoding) -> QuantizedProducts {
    if !encoding.isQuantized { return .asStored }
    return encoding == .float8 ? float8Products ?? quantizedProducts : quantizedProducts
  }

  /// A pipeline of diffusers in float16 with all components on one device, as
  /// `from_pretrained(…, torch_dtype=torch.float16).to("cuda")` makes it.
  package static let float16Pipeline = ProgramMemory(activationBytes: 2)
}

/// What lowers the memory that a program needs for an image, in the program's own names.
package enum MemorySwitches: Hashable, Sendable {
  /// Options of its command line, without hyphens before the names.
  case options([String])
  /// Functions of its pipeline.
  case functions([String])

  /// Those of ``ProgramMemory/float16Pipeline``.
  package static let pipeline = MemorySwitches.functions([
    "enable_model_cpu_offload", "vae.enable_tiling",
  ])
}

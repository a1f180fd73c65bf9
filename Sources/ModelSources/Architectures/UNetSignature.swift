internal import Tensors

/// The widths that distinguish the U-Nets of different architectures.
package struct UNetSignature: Hashable, Sendable {
  /// Input channels.
  package let inputs: Int
  /// Output channels of the first convolution.
  package let width: Int
  /// Width of the text states in cross-attention; `nil` where no such attention is found.
  package let textWidth: Int?
  /// Input width of the added embedding; `nil` without one.
  package let addedWidth: Int?

  package init(inputs: Int, width: Int, textWidth: Int?, addedWidth: Int?) {
    self.inputs = inputs
    self.width = width
    self.textWidth = textWidth
    self.addedWidth = addedWidth
  }

  /// Reads the signature from tensor shapes, under the names of the LDM layout or of diffusers and
  /// below any prefix; `nil` where no U-Net is found.
  package init?(_ weights: any WeightSource) {
    let names = weights.names
    func shape(_ endings: String...) -> Shape? {
      endings.lazy.compactMap { ending in
        names.first { name in
          // An autoencoder's encoder and decoder have a `conv_in` too.
          name.hasSuffix(ending) && !name.contains("coder.")
        }
      }.first.flatMap { weights.entry($0)?.shape }
    }
    guard let first = shape("input_blocks.0.0.weight", "conv_in.weight"), first.rank == 4 else {
      return nil
    }
    self.init(
      inputs: first[1], width: first[0], textWidth: shape("attn2.to_k.weight")?.rowLength,
      addedWidth: shape("label_emb.0.0.weight", "add_embedding.linear_1.weight")?.rowLength)
  }
}

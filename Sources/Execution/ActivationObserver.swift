internal import Kernels
package import Tensors

/// Receives the activations of a component while it runs. Calibration collects statistics of the
/// inputs of layers; verification compares the outputs of blocks.
package protocol ActivationObserver: AnyObject, Sendable {
  /// Called before every convolution and linear layer.
  ///
  /// - Parameters:
  ///   - name: the layer's name in diffusers, such as
  ///     `down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2`.
  ///   - input: [B, C, H, W] for a convolution, [rows, in] for a linear layer.
  func willRun(module name: String, input: Tensor)

  /// Called after each block.
  ///
  /// - Parameters:
  ///   - name: the block's name (``ModuleSpec/block``), such as `conv_in`,
  ///     `down_blocks.0.resnets.0` or `mid_block.attentions.0`.
  ///   - output: the block's output.
  func didRun(block name: String, output: Tensor)
}

extension ActivationObserver {
  package func willRun(module name: String, input: Tensor) {}
  package func didRun(block name: String, output: Tensor) {}
}

extension (any ActivationObserver)? {
  /// Reports that a block has run to the observer and to the profile.
  func ran(_ block: String, _ output: Tensor) {
    Profile.ran(block: block)
    self?.didRun(block: block, output: output)
  }
}

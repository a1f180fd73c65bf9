internal import Kernels
package import Tensors

/// Sees what flows through a component while it runs: calibration counts inputs of layers,
/// verification compares outputs of blocks.
package protocol ActivationObserver: AnyObject, Sendable {
  /// Called before every convolution and linear layer with its name in diffusers' words
  /// (`down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2`) and its input: [B, C, H, W] for a
  /// convolution, [rows, in] for a linear layer.
  func willRun(module name: String, input: Tensor)

  /// Called after each block with its name (`conv_in`, `down_blocks.0.resnets.0`,
  /// `mid_block.attentions.0`, `conv_out`; ``ModuleSpec/block`` names them) and its output.
  func didRun(block name: String, output: Tensor)
}

extension ActivationObserver {
  package func willRun(module name: String, input: Tensor) {}
  package func didRun(block name: String, output: Tensor) {}
}

extension (any ActivationObserver)? {
  /// Says that a block has run, to the observer and to the profile.
  func ran(_ block: String, _ output: Tensor) {
    Profile.ran(block: block)
    self?.didRun(block: block, output: output)
  }
}

private import Tensors

/// Modules that a plan stores in another scheme than the requested one, where no pattern of the
/// user decides.
package struct PlanException: Sendable {
  package let pattern: ModulePattern
  package let scheme: any Scheme
  /// Why the modules have the scheme, as tables show it.
  package let reason: String

  package init(pattern: ModulePattern, scheme: any Scheme, reason: String) {
    self.pattern = pattern
    self.scheme = scheme
    self.reason = reason
  }

  /// The exceptions for a requested scheme when nothing is known of the model: with fewer than 8
  /// bits, modules that make most of the noise but hold few of the weights are stored in int8.
  ///
  /// MixDQ's measurements of every layer of SDXL-Turbo (arXiv 2405.17873) agree with the skip lists
  /// of published 4-bit U-Nets.
  package static func standard(for scheme: any Scheme) -> [PlanException] {
    guard let bits = scheme.encoding.codeFormat?.bits, bits < 8 else { return [] }
    return [
      "*.conv_shortcut", "*.time_emb_proj", "*.downsamplers", "*.upsamplers", "*.proj_in",
      "*.proj_out", "down_blocks.0.resnets.0",
    ].map {
      PlanException(
        pattern: ModulePattern($0), scheme: SymmetricScheme.int8,
        reason: "too sensitive for \(bits) bits")
    }
  }
}

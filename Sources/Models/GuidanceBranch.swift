/// A half of classifier-free guidance: the U-Net runs once with the prompt and once without it.
package enum GuidanceBranch: Int, CaseIterable, Sendable {
  /// With the negative prompt, which is empty by default.
  case unconditional
  /// With the prompt.
  case conditional

  package var name: String {
    switch self {
    case .unconditional: "unconditional"
    case .conditional: "conditional"
    }
  }
}

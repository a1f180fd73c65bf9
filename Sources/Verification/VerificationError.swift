package import Support

/// Why two models cannot be compared.
package enum VerificationError: RemediableError, Equatable {
  /// A number that must be equal, such as the number of latent channels.
  case mismatch(
    what: String, reference: String, expected: Int, candidate: String, found: Int)
  case noPrompts
  case noSeeds

  package var description: String {
    switch self {
    case .mismatch(let what, let reference, let expected, let candidate, let found):
      "\(candidate) cannot be compared with \(reference): \(what) differ: \(expected) (reference) "
        + "and \(found) (candidate)"
    case .noPrompts: "the verification has no prompts"
    case .noSeeds: "the verification has no seeds"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .mismatch: .act("compare a model with the model that it was made from")
    case .noPrompts: .choose(.prompts)
    case .noSeeds: .choose(.seeds)
    }
  }
}

package import Support

/// Why two models cannot be compared.
package enum VerificationError: RemediableError, Equatable {
  /// A number that must be equal, such as the number of latent channels.
  case mismatch(
    what: String, reference: String, expected: Int, candidate: String, found: Int)
  /// The models have different architectures. `expected` and `found` are the models' families.
  case architectures(reference: String, expected: String, candidate: String, found: String)
  case noPrompts
  case noSeeds

  package var description: String {
    switch self {
    case .mismatch(let what, let reference, let expected, let candidate, let found):
      "\(candidate) cannot be compared with \(reference): \(what) differ: \(expected) (reference) "
        + "and \(found) (candidate)"
    case .architectures(let reference, let expected, let candidate, let found):
      "\(candidate) cannot be compared with \(reference): \(reference) is \(expected) and "
        + "\(candidate) is \(found), expected models of one architecture"
    case .noPrompts: "the verification has no prompts"
    case .noSeeds: "the verification has no seeds"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .mismatch, .architectures: .act("compare a model with the model that it was made from")
    case .noPrompts: .choose(.prompts)
    case .noSeeds: .choose(.seeds)
    }
  }
}

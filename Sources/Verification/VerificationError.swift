/// Why two models cannot be compared.
package enum VerificationError: Error, Equatable, CustomStringConvertible {
  /// A number that both must share, because one's latents, texts or pictures would mean nothing to
  /// the other.
  case unlike(
    what: String, reference: String, referenceHas: Int, candidate: String, candidateHas: Int)
  case noPrompts
  case noSeeds

  package var description: String {
    switch self {
    case .unlike(let what, let reference, let referenceHas, let candidate, let candidateHas):
      "\(candidate) cannot be compared with \(reference): \(what) \(candidateHas) in the one and "
        + "\(referenceHas) in the other; compare a model with what it was made from"
    case .noPrompts: "there is no prompt to make pictures of"
    case .noSeeds: "there is no seed to make pictures with"
    }
  }
}

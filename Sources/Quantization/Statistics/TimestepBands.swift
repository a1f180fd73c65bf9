/// Ranges of the timestep that statistics are kept apart for: a U-Net's activations change much
/// from the first step, which sees noise, to the last.
package struct TimestepBands: Hashable, Sendable {
  /// Band `i` holds the timesteps from `boundaries[i]` to below `boundaries[i + 1]`; the first
  /// also what is below, the last also what is above.
  package let boundaries: [Int]

  /// - Returns: `nil` unless there are at least two boundaries, each above the one before.
  package init?(boundaries: [Int]) {
    guard boundaries.count >= 2, zip(boundaries, boundaries.dropFirst()).allSatisfy(<) else {
      return nil
    }
    self.boundaries = boundaries
  }

  /// `count` bands of equal width over the timesteps that the model was trained with.
  ///
  /// - Precondition: `count` is positive and at most `timesteps`.
  package init(count: Int = 4, of timesteps: Int = 1000) {
    precondition(count > 0 && count <= timesteps, "\(count) bands of \(timesteps) timesteps")
    boundaries = (0...count).map { $0 * timesteps / count }
  }

  package var count: Int { boundaries.count - 1 }

  package func band(of timestep: Double) -> Int {
    boundaries.dropFirst().dropLast().count { timestep >= Double($0) }
  }
}

/// Which half of classifier-free guidance an input belongs to.
package enum GuidancePass: Int, CaseIterable, Sendable {
  /// With the negative prompt.
  case unconditional
  case conditional

  package var name: String {
    switch self {
    case .unconditional: "unconditional"
    case .conditional: "conditional"
    }
  }
}

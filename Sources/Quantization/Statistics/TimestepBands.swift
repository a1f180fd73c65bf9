/// Ranges of timesteps that statistics are kept separately for, because the activations of a U-Net
/// change from the first step, whose input is noise, to the last.
package struct TimestepBands: Hashable, Sendable {
  /// Band `i` holds the timesteps from `boundaries[i]` to below `boundaries[i + 1]`. The first band
  /// also holds everything below, and the last everything above.
  package let boundaries: [Int]

  /// - Returns: `nil` unless there are at least two boundaries in ascending order, none twice.
  package init?(boundaries: [Int]) {
    guard boundaries.count >= 2, zip(boundaries, boundaries.dropFirst()).allSatisfy(<) else {
      return nil
    }
    self.boundaries = boundaries
  }

  /// Divides the timesteps that the model was trained with into `count` bands of equal width.
  ///
  /// - Precondition: `count` is positive and at most `timesteps`.
  package init(count: Int = 4, of timesteps: Int = 1000) {
    precondition(count > 0 && count <= timesteps, "\(count) bands of \(timesteps) timesteps")
    boundaries = (0...count).map { $0 * timesteps / count }
  }

  package var count: Int { boundaries.count - 1 }

  /// The index of the band that holds `timestep`.
  package func band(of timestep: Double) -> Int {
    boundaries.dropFirst().dropLast().count { timestep >= Double($0) }
  }
}

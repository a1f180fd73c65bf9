internal import Calibration
private import Sampling
package import Support

/// What a verification will compute. A call is one step of a run; with guidance it evaluates the U-Net
/// for both branches.
package struct VerificationPlan: Sendable, Equatable {
  /// Calls of the reference: those of its own runs, and those that are repeated for the outputs of
  /// its blocks.
  package let referenceCalls: Int
  /// Calls of the candidate: the recorded calls and those of its own runs.
  package let candidateCalls: Int
  /// Calls of all baselines.
  package let baselineCalls: Int
  /// Images of the reference and of the candidate each.
  package let images: Int
  package let imageSize: ImageSize
  /// Whether calls that were recorded before are used.
  package let reusesCalls: Bool
}

extension VerificationSettings {
  /// One of the runs: all prompts with the first seed, then with the next. Further seeds follow the
  /// last.
  ///
  /// - Precondition: there are prompts and seeds.
  private func run(_ index: Int, _ size: ImageSize) -> CalibrationRun {
    let (turn, last) = (index / prompts.count, seeds.count - 1)
    let seed = turn <= last ? seeds[turn] : seeds[last] &+ UInt64(turn - last)
    let prompt = prompts[index % prompts.count]
    return CalibrationRun(
      prompt: prompt.prompt, negativePrompt: prompt.negativePrompt, seed: seed, size: size)
  }

  /// The runs whose images are compared.
  func imageRuns(size: ImageSize) -> [CalibrationRun] {
    (0..<(images ?? prompts.count * seeds.count)).map { run($0, size) }
  }

  /// The runs whose calls are recorded, each once: the first prompts at the images' size, the next at
  /// the next size.
  func callRuns(size: ImageSize) -> [CalibrationRun] {
    let sizes = [size] + otherSizes
    let count = prompts.count * seeds.count
    var runs = (0..<count).map { run($0, sizes[$0 * sizes.count / count]) }
    for (index, size) in sizes.enumerated() where !runs.contains(where: { $0.size == size }) {
      runs.append(run(index % count, size))
    }
    return runs.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }
}

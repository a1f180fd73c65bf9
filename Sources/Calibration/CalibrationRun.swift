package import Sampling

/// One picture that calibration makes: a prompt, what it must not show, and the noise to begin
/// with.
package struct CalibrationRun: Hashable, Sendable {
  package let prompt: String
  package let negativePrompt: String
  package let seed: UInt64

  /// - Precondition: `seed` is below 2^63, as files keep it.
  package init(prompt: String, negativePrompt: String, seed: UInt64) {
    precondition(seed >> 63 == 0, "seed \(seed)")
    self.prompt = prompt
    self.negativePrompt = negativePrompt
    self.seed = seed
  }
}

extension CalibrationRun: Comparable {
  /// By the bytes of the prompt, then of the negative prompt, then by seed: the same everywhere,
  /// whatever the language.
  package static func < (left: CalibrationRun, right: CalibrationRun) -> Bool {
    for (ours, theirs) in [
      (left.prompt.utf8, right.prompt.utf8), (left.negativePrompt.utf8, right.negativePrompt.utf8),
    ] where !ours.elementsEqual(theirs) {
      return ours.lexicographicallyPrecedes(theirs)
    }
    return left.seed < right.seed
  }

  // Swift's strings compare by canonical equivalence; a file must tell bytes apart.
  package static func == (left: CalibrationRun, right: CalibrationRun) -> Bool {
    left.seed == right.seed && left.prompt.utf8.elementsEqual(right.prompt.utf8)
      && left.negativePrompt.utf8.elementsEqual(right.negativePrompt.utf8)
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(seed)
    for byte in prompt.utf8 { hasher.combine(byte) }
    hasher.combine(0 as UInt8)
    for byte in negativePrompt.utf8 { hasher.combine(byte) }
  }
}

extension Prompt {
  /// Runs of this prompt with `count` seeds, which come from its text: prompts start from
  /// different noise, and the same prompt from the same one whatever list it stands in.
  package func runs(seeds count: Int) -> [CalibrationRun] {
    let bytes = Array(prompt.utf8) + [0] + Array(negativePrompt.utf8)
    // FNV-1a, 64 bits (Fowler, Noll, Vo).
    let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) {
      ($0 ^ UInt64($1)) &* 0x100_0000_01b3
    }
    return (0..<UInt64(count)).map {
      CalibrationRun(
        prompt: prompt, negativePrompt: negativePrompt, seed: (hash & 0xffff_ffff) + $0)
    }
  }
}

extension [Prompt] {
  /// All runs of all prompts.
  package func runs(seeds count: Int) -> [CalibrationRun] { flatMap { $0.runs(seeds: count) } }
}

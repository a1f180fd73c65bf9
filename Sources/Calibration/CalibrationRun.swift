package import Sampling
private import Support

/// One image that a calibration samples: prompt, negative prompt and seed.
package struct CalibrationRun: Hashable, Sendable {
  package let prompt: String
  package let negativePrompt: String
  package let seed: UInt64

  /// - Precondition: `seed` is below 2^63, because files store it as a signed integer.
  package init(prompt: String, negativePrompt: String, seed: UInt64) {
    precondition(seed >> 63 == 0, "seed \(seed)")
    self.prompt = prompt
    self.negativePrompt = negativePrompt
    self.seed = seed
  }
}

extension CalibrationRun: Comparable {
  /// Orders by the UTF-8 bytes of the prompt, then of the negative prompt, then by seed. The order
  /// does not depend on the locale.
  package static func < (left: CalibrationRun, right: CalibrationRun) -> Bool {
    for (ours, theirs) in [
      (left.prompt.utf8, right.prompt.utf8), (left.negativePrompt.utf8, right.negativePrompt.utf8),
    ] where !ours.elementsEqual(theirs) {
      return ours.lexicographicallyPrecedes(theirs)
    }
    return left.seed < right.seed
  }

  // `String` compares by canonical equivalence, but the tokenizer reads bytes.
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
  /// Runs of this prompt with `count` consecutive seeds.
  ///
  /// The first seed is a hash of the prompt and the negative prompt. Different prompts start from
  /// different noise, and a prompt has the same seeds in every list.
  package func runs(seeds count: Int) -> [CalibrationRun] {
    let hash = fnv1a(Array(prompt.utf8) + [0] + Array(negativePrompt.utf8))
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

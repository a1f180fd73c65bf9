internal import Sampling
package import Support

/// One image that a calibration samples: prompt, negative prompt, seed and size.
package struct CalibrationRun: Hashable, Sendable {
  package let prompt: String
  package let negativePrompt: String
  package let seed: UInt64
  package let size: ImageSize

  /// - Precondition: `seed` is below 2^63, because files store it as a signed integer.
  package init(prompt: String, negativePrompt: String, seed: UInt64, size: ImageSize) {
    precondition(seed >> 63 == 0, "seed \(seed)")
    self.prompt = prompt
    self.negativePrompt = negativePrompt
    self.seed = seed
    self.size = size
  }
}

extension CalibrationRun: Comparable {
  /// Orders by the UTF-8 bytes of the prompt, then of the negative prompt, then by seed, width and
  /// height. The order does not depend on the locale.
  package static func < (left: CalibrationRun, right: CalibrationRun) -> Bool {
    for (ours, theirs) in [
      (left.prompt.utf8, right.prompt.utf8), (left.negativePrompt.utf8, right.negativePrompt.utf8),
    ] where !ours.elementsEqual(theirs) {
      return ours.lexicographicallyPrecedes(theirs)
    }
    return (left.seed, left.size.width, left.size.height)
      < (right.seed, right.size.width, right.size.height)
  }

  // `String` compares by canonical equivalence, but the tokenizer reads bytes.
  package static func == (left: CalibrationRun, right: CalibrationRun) -> Bool {
    left.seed == right.seed && left.size == right.size
      && left.prompt.utf8.elementsEqual(right.prompt.utf8)
      && left.negativePrompt.utf8.elementsEqual(right.negativePrompt.utf8)
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(seed)
    hasher.combine(size)
    for byte in prompt.utf8 { hasher.combine(byte) }
    hasher.combine(0 as UInt8)
    for byte in negativePrompt.utf8 { hasher.combine(byte) }
  }
}

extension Prompt {
  /// The first seed of this prompt: a hash of the prompt and the negative prompt, so that different
  /// prompts start from different noise, and a prompt has the same seeds in every list.
  fileprivate var firstSeed: UInt64 {
    fnv1a(Array(prompt.utf8) + [0] + Array(negativePrompt.utf8)) & 0xffff_ffff
  }
}

extension [CalibrationRun] {
  /// The runs whose calls are recorded: at most 16, as many of each size, spread evenly over the list.
  /// More would cost memory, and every measurement evaluates all calls.
  package var recorded: Set<CalibrationRun> {
    let most = 16
    let bySize = Dictionary(grouping: self, by: \.size)
    var found: Set<CalibrationRun> = []
    for runs in bySize.values {
      for place in spread(Swift.max(1, most / bySize.count), over: runs.count) {
        found.insert(runs[place])
      }
    }
    return found
  }
}

extension [Prompt] {
  /// Runs of all prompts, each with `count` consecutive seeds. The runs take turns with the sizes.
  ///
  /// - Precondition: `sizes` is not empty.
  package func runs(seeds count: Int, sizes: [ImageSize]) -> [CalibrationRun] {
    var runs: [CalibrationRun] = []
    for prompt in self {
      for seed in 0..<UInt64(count) {
        runs.append(
          CalibrationRun(
            prompt: prompt.prompt, negativePrompt: prompt.negativePrompt,
            seed: prompt.firstSeed + seed, size: sizes[runs.count % sizes.count]))
      }
    }
    return runs
  }
}

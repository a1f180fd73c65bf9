internal import Support

/// How much a calibration or verification measures: the more, the better its result and the longer
/// it takes.
package enum Effort: String, CaseIterable, Sendable {
  /// A few minutes on two cores.
  case quick
  /// At most 32 calls of the U-Net with guidance.
  case standard
  /// Hours for large models.
  case thorough

  /// The number of prompts of Decant's own list.
  package var prompts: Int {
    switch self {
    case .quick: 2
    case .standard: 4
    case .thorough: 16
    }
  }

  /// The images that a verification makes with each model.
  var images: Int {
    switch self {
    case .quick: 1
    case .standard: 2
    case .thorough: 8
    }
  }

  /// The steps of one run at which a verification compares blocks.
  var blockSteps: Int {
    switch self {
    case .quick: 1
    case .standard: 2
    case .thorough: 3
    }
  }

  /// The sampling steps of a run.
  package var steps: Int {
    switch self {
    case .quick: 6
    case .standard: 8
    case .thorough: 20
    }
  }

  /// The sizes of the images of a model that was trained at `native` pixels a side. Models of small
  /// images are measured above their size, large ones below it, where a call takes less time.
  func sizes(native: ImageSize) -> [ImageSize] {
    let side = max(native.width, native.height)
    func scaled(_ numerator: Int, _ denominator: Int) -> ImageSize {
      // A multiple of the VAE's factor.
      ImageSize(
        width: native.width * numerator / denominator / 8 * 8,
        height: native.height * numerator / denominator / 8 * 8)
    }
    switch (self, side) {
    case (.quick, ...256): return [native]
    case (_, ...256): return [native, scaled(2, 1)]
    case (.quick, ..<1024): return [scaled(1, 2)]
    case (.quick, _): return [scaled(1, 4)]
    case (.standard, ..<1024), (.thorough, ..<1024): return [native, scaled(1, 2)]
    case (.standard, _): return [scaled(1, 2), scaled(1, 4)]
    case (.thorough, _): return [native, scaled(1, 2)]
    }
  }
}

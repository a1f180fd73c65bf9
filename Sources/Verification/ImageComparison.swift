package import Kernels
package import Sampling

/// How far a picture is from the one that it stands for.
///
/// Levels are widened before anything is subtracted: 8-bit differences would wrap around.
package struct ImageComparison: Sendable, Equatable {
  /// Errors in levels of 255, over all pixels and colors.
  package let measures: ErrorMeasures
  /// Mean over the three colors; `nil` where a side is shorter than the window of 11 pixels.
  package let ssim: Double?
  /// Share of the pixels of which no color is more than 1 level off, from 0 to 1.
  package let shareWithinOneLevel: Double

  /// - Precondition: both pictures have the same size.
  package init(reference: Image, candidate: Image) {
    precondition(
      reference.width == candidate.width && reference.height == candidate.height,
      "\(candidate.width)x\(candidate.height) beside \(reference.width)x\(reference.height)")
    let expected = reference.pixels.map(Float.init)
    let found = candidate.pixels.map(Float.init)
    measures = ErrorMeasures(reference: expected, candidate: found)

    let pixels = reference.width * reference.height
    var within = 0
    for pixel in 0..<pixels {
      let isNear = (pixel * 3..<pixel * 3 + 3).allSatisfy { abs(expected[$0] - found[$0]) <= 1 }
      if isNear { within += 1 }
    }
    shareWithinOneLevel = Double(within) / Double(pixels)

    func plane(_ levels: [Float], _ color: Int) -> [Double] {
      (0..<pixels).map { Double(levels[$0 * 3 + color]) / 255 }
    }
    let similarities = (0..<3).compactMap { color in
      structuralSimilarity(
        plane(expected, color), plane(found, color), width: reference.width,
        height: reference.height)
    }
    ssim = similarities.count == 3 ? similarities.reduce(0, +) / 3 : nil
  }

  package var isIdentical: Bool { measures.error == 0 }

  /// Peak signal to noise in decibels, for a peak of 255 levels; infinite for equal pictures.
  package var psnr: Double { measures.psnr(peak: 255) }

  /// The largest difference of any color of any pixel, in levels.
  package var largestDifference: Double { measures.largestDifference }
}

extension Image {
  /// What the picture differs in from `reference`, amplified: black where nothing does.
  ///
  /// - Precondition: both pictures have the same size.
  package func difference(from reference: Image, gain: Int = 8) -> Image {
    let levels = zip(pixels, reference.pixels).map { level, expected in
      UInt8(min(255, gain * abs(Int(level) - Int(expected))))
    }
    return Image(width: width, height: height, pixels: levels)
  }
}

package import Kernels
package import Sampling

/// PSNR, SSIM and differences of a candidate image against its reference.
///
/// Computed in floating point, because 8-bit differences would wrap around.
package struct ImageComparison: Sendable, Equatable {
  /// Errors in 8-bit levels, over all pixels and channels.
  package let measures: ErrorMeasures
  /// Mean over the three channels; `nil` if a side is shorter than the window of 11 pixels.
  package let ssim: Double?
  /// Fraction of pixels whose channels all differ by at most 1 level, from 0 to 1.
  package let shareWithinOneLevel: Double

  /// - Precondition: both images have the same size.
  package init(reference: Image, candidate: Image) {
    precondition(
      reference.width == candidate.width && reference.height == candidate.height,
      "\(candidate.width)x\(candidate.height) compared with \(reference.width)x\(reference.height)")
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

    func plane(_ levels: [Float], _ channel: Int) -> [Double] {
      (0..<pixels).map { Double(levels[$0 * 3 + channel]) / 255 }
    }
    let similarities = (0..<3).compactMap { channel in
      structuralSimilarity(
        plane(expected, channel), plane(found, channel), width: reference.width,
        height: reference.height)
    }
    ssim = similarities.count == 3 ? similarities.reduce(0, +) / 3 : nil
  }

  package var isIdentical: Bool { measures.error == 0 }

  /// Peak signal-to-noise ratio in decibels, with a peak of 255; infinite for equal images.
  package var psnr: Double { measures.psnr(peak: 255) }

  /// The largest difference of any channel of any pixel, in levels.
  package var largestDifference: Double { measures.largestDifference }
}

extension Image {
  /// The absolute difference from `reference` times `gain`; black where the images are equal.
  ///
  /// - Precondition: both images have the same size.
  package func difference(from reference: Image, gain: Int = 8) -> Image {
    let levels = zip(pixels, reference.pixels).map { level, expected in
      UInt8(min(255, gain * abs(Int(level) - Int(expected))))
    }
    return Image(width: width, height: height, pixels: levels)
  }
}

private import Foundation

/// Mean structural similarity (SSIM) of two planes: 1 for equal planes, lower for others.
///
/// Wang, Bovik, Sheikh and Simoncelli, "Image Quality Assessment: From Error Visibility to
/// Structural Similarity" (2004): a Gaussian window of 11x11 with sigma 1.5, biased variances,
/// C1 = (0.01 peak)² and C2 = (0.03 peak)², averaged over every position at which the
/// window lies inside the plane. Equals scikit-image's `structural_similarity` with
/// `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.
///
/// - Returns: `nil` if the planes are smaller than the window.
/// - Precondition: both planes have `width * height` values.
package func structuralSimilarity(
  _ a: [Double], _ b: [Double], width: Int, height: Int, peak: Double = 1
) -> Double? {
  precondition(
    a.count == width * height && b.count == a.count,
    "planes of \(a.count) and \(b.count) values for \(width)x\(height)")
  guard width >= window.count, height >= window.count else { return nil }

  func blurred(_ value: (Int) -> Double) -> [Double] {
    blur((0..<a.count).map(value), width: width, height: height)
  }
  let meanA = blurred { a[$0] }
  let meanB = blurred { b[$0] }
  let squareA = blurred { a[$0] * a[$0] }
  let squareB = blurred { b[$0] * b[$0] }
  let product = blurred { a[$0] * b[$0] }

  let c1 = (0.01 * peak) * (0.01 * peak)
  let c2 = (0.03 * peak) * (0.03 * peak)
  var sum = 0.0
  for index in meanA.indices {
    let (u, v) = (meanA[index], meanB[index])
    let varianceA = squareA[index] - u * u
    let varianceB = squareB[index] - v * v
    let covariance = product[index] - u * v
    sum +=
      (2 * u * v + c1) * (2 * covariance + c2)
      / ((u * u + v * v + c1) * (varianceA + varianceB + c2))
  }
  return sum / Double(meanA.count)
}

/// One axis of the Gaussian window; its outer product with itself is the 11x11 window.
private let window: [Double] = {
  let weights = (-5...5).map { exp(-Double($0 * $0) / (2 * 1.5 * 1.5)) }
  let sum = weights.reduce(0, +)
  return weights.map { $0 / sum }
}()

/// Convolves the plane with the window, at every position at which the window lies inside it.
private func blur(_ plane: [Double], width: Int, height: Int) -> [Double] {
  let innerWidth = width - window.count + 1
  let innerHeight = height - window.count + 1
  var rows = [Double](repeating: 0, count: innerWidth * height)
  for y in 0..<height {
    for x in 0..<innerWidth {
      var sum = 0.0
      for (tap, weight) in window.enumerated() { sum += weight * plane[y * width + x + tap] }
      rows[y * innerWidth + x] = sum
    }
  }
  var result = [Double](repeating: 0, count: innerWidth * innerHeight)
  for y in 0..<innerHeight {
    for x in 0..<innerWidth {
      var sum = 0.0
      for (tap, weight) in window.enumerated() { sum += weight * rows[(y + tap) * innerWidth + x] }
      result[y * innerWidth + x] = sum
    }
  }
  return result
}

private import Foundation
package import Support

extension Image {
  /// Resizes as PIL does with `LANCZOS`: a windowed sinc of three lobes, scaled when the image
  /// shrinks, in 22-bit fixed point, horizontally first.
  ///
  /// If the aspect ratio changes much and the height shrinks most, Pillow 13 resizes vertically
  /// first. Intermediate levels are rounded, so a few levels then differ.
  package func resized(to size: ImageSize) -> Image {
    let (width, height) = (size.width, size.height)
    if width == self.width, height == self.height { return self }
    let horizontal = Lanczos.kernels(from: self.width, to: width)
    var rows = [UInt8](repeating: 0, count: width * self.height * 3)
    for y in 0..<self.height {
      for (x, kernel) in horizontal.enumerated() {
        for channel in 0..<3 {
          rows[(y * width + x) * 3 + channel] = kernel.apply {
            pixels[(y * self.width + $0) * 3 + channel]
          }
        }
      }
    }
    let vertical = Lanczos.kernels(from: self.height, to: height)
    var result = [UInt8](repeating: 0, count: width * height * 3)
    for (y, kernel) in vertical.enumerated() {
      for place in 0..<width * 3 {
        result[y * width * 3 + place] = kernel.apply { rows[$0 * width * 3 + place] }
      }
    }
    return Image(width: width, height: height, pixels: result)
  }
}

private enum Lanczos {
  private static let lobes = 3.0
  fileprivate static let precision = 22

  struct Kernel {
    let first: Int
    let weights: [Int]

    func apply(_ value: (Int) -> UInt8) -> UInt8 {
      var sum = 1 << (Lanczos.precision - 1)
      for (index, weight) in weights.enumerated() { sum += Int(value(first + index)) * weight }
      return UInt8(min(max(sum >> Lanczos.precision, 0), 255))
    }
  }

  /// One kernel per position of the output.
  static func kernels(from input: Int, to output: Int) -> [Kernel] {
    let scale = Double(input) / Double(output)
    let filterScale = max(scale, 1)
    let support = lobes * filterScale
    return (0..<output).map { place in
      let center = (Double(place) + 0.5) * scale
      let first = max(0, Int(center - support + 0.5))
      let end = min(input, Int(center + support + 0.5))
      var weights = (first..<max(first, end)).map {
        windowed((Double($0) - center + 0.5) / filterScale)
      }
      let sum = weights.reduce(0, +)
      if sum != 0 { weights = weights.map { $0 / sum } }
      return Kernel(
        first: first,
        weights: weights.map { Int(($0 * Double(1 << precision)) + ($0 < 0 ? -0.5 : 0.5)) })
    }
  }

  private static func windowed(_ x: Double) -> Double {
    guard -lobes <= x, x < lobes else { return 0 }
    return sinc(x) * sinc(x / lobes)
  }

  private static func sinc(_ x: Double) -> Double {
    x == 0 ? 1 : sin(x * .pi) / (x * .pi)
  }
}

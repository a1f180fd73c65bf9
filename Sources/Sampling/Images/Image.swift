package import Tensors

/// An RGB image with 8 bits per channel.
package struct Image: Sendable, Equatable {
  package let width: Int
  package let height: Int
  /// Red, green and blue of each pixel, left to right, rows from the top.
  package var pixels: [UInt8]

  /// - Precondition: `pixels` holds three bytes per pixel.
  package init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(
      width > 0 && height > 0 && pixels.count == width * height * 3,
      "\(pixels.count) bytes for \(width) x \(height) pixels")
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// An image of one color.
  package init(width: Int, height: Int, red: UInt8, green: UInt8, blue: UInt8) {
    self.init(
      width: width, height: height,
      pixels: (0..<max(0, width * height)).flatMap { _ in [red, green, blue] })
  }

  /// Converts a batch that a VAE decoded, [B, 3, H, W] from -1 to 1, to images.
  ///
  /// As diffusers' `VaeImageProcessor`: `value / 2 + 0.5`, clamped to 0...1, times 255, rounded to
  /// nearest even. NaN becomes 0.
  package static func images(decoded batch: Tensor) -> [Image] {
    precondition(batch.shape.rank == 4 && batch.shape[1] == 3, "a decoded batch of \(batch.shape)")
    let (height, width) = (batch.shape[2], batch.shape[3])
    let area = height * width
    return (0..<batch.shape[0]).map { index in
      var pixels = [UInt8](repeating: 0, count: area * 3)
      for channel in 0..<3 {
        let start = (index * 3 + channel) * area
        for place in 0..<area {
          let value = batch.values[start + place] * 0.5 + 0.5
          let level = value > 0 ? min(value, 1) * 255 : 0
          pixels[place * 3 + channel] = UInt8(level.rounded(.toNearestOrEven))
        }
      }
      return Image(width: width, height: height, pixels: pixels)
    }
  }
}

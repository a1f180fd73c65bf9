package import Tensors

/// A picture of 8-bit red, green and blue.
package struct Image: Sendable, Equatable {
  package let width: Int
  package let height: Int
  /// Rows from the top, pixels from the left, red, green, blue.
  package var pixels: [UInt8]

  /// - Precondition: there are three bytes for each pixel.
  package init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(
      width > 0 && height > 0 && pixels.count == width * height * 3,
      "\(pixels.count) bytes for \(width) x \(height) pixels")
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// A picture of one color.
  package init(width: Int, height: Int, red: UInt8, green: UInt8, blue: UInt8) {
    self.init(
      width: width, height: height,
      pixels: (0..<max(0, width * height)).flatMap { _ in [red, green, blue] })
  }

  /// The pictures of a batch that a VAE decoded: [B, 3, H, W], from -1 (dark) to 1.
  ///
  /// As diffusers' `VaeImageProcessor` does it: half of it and a half more, held to 0 to 1, times 255,
  /// to the nearest even.
  package static func pictures(decoded batch: Tensor) -> [Image] {
    precondition(batch.shape.rank == 4 && batch.shape[1] == 3, "pictures of \(batch.shape)")
    let (height, width) = (batch.shape[2], batch.shape[3])
    let area = height * width
    return (0..<batch.shape[0]).map { index in
      var pixels = [UInt8](repeating: 0, count: area * 3)
      for channel in 0..<3 {
        let start = (index * 3 + channel) * area
        for place in 0..<area {
          let value = batch.values[start + place] * 0.5 + 0.5
          // A number that is none becomes black.
          let level = value > 0 ? min(value, 1) * 255 : 0
          pixels[place * 3 + channel] = UInt8(level.rounded(.toNearestOrEven))
        }
      }
      return Image(width: width, height: height, pixels: pixels)
    }
  }
}

extension Image {
  /// Pictures side by side in rows, with a margin round each.
  ///
  /// - Parameters:
  ///   - columns: pictures in a row; the last row may be shorter.
  ///   - margin: pixels between pictures and at the edges.
  ///   - background: the level of gray between them.
  /// - Precondition: there is at least one picture; tiles are as large as the largest.
  package static func contactSheet(
    _ pictures: [Image], columns: Int, margin: Int = 4, background: UInt8 = 255
  ) -> Image {
    precondition(!pictures.isEmpty && columns > 0 && margin >= 0, "\(pictures.count) pictures")
    let columns = min(columns, pictures.count)
    let rows = (pictures.count - 1) / columns + 1
    let tileWidth = pictures.reduce(0) { max($0, $1.width) } + margin
    let tileHeight = pictures.reduce(0) { max($0, $1.height) } + margin
    var sheet = Image(
      width: columns * tileWidth + margin, height: rows * tileHeight + margin,
      red: background, green: background, blue: background)
    for (index, picture) in pictures.enumerated() {
      let left = index % columns * tileWidth + margin
      let top = index / columns * tileHeight + margin
      for row in 0..<picture.height {
        let source = row * picture.width * 3
        let target = ((top + row) * sheet.width + left) * 3
        sheet.pixels.replaceSubrange(
          target..<target + picture.width * 3,
          with: picture.pixels[source..<source + picture.width * 3])
      }
    }
    return sheet
  }
}

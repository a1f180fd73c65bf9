private import CPNG
private import Foundation
private import Support

/// Why bytes are not a PNG that can be read.
package enum PNGError: Error, Equatable, CustomStringConvertible {
  case notPNG(location: String)
  /// A chunk reaches past the end, or its checksum is wrong.
  case damaged(location: String, chunk: String, offset: Int)
  /// More pixels than ``Image/pixelLimit``.
  case tooLarge(location: String, width: Int, height: Int)
  /// libpng's own words.
  case refused(location: String, message: String)

  package var description: String {
    switch self {
    case .notPNG(let location): "\(location) is not a PNG: it does not begin with PNG's signature"
    case .damaged(let location, let chunk, let offset):
      "\(location): the PNG's chunk '\(chunk)' at byte \(offset) is cut off or damaged"
    case .tooLarge(let location, let width, let height):
      "\(location): \(width) x \(height) pixels are more than the \(Image.pixelLimit) that are read"
    case .refused(let location, let message): "\(location): libpng says: \(message)"
    }
  }
}

// The only file that talks to libpng, and only through its simplified interface, which reports
// errors in a struct instead of jumping.
extension Image {
  /// Most pixels of a picture that is read: 8192 x 8192, for a moment 448 MB.
  package static let pixelLimit = 1 << 26

  /// The picture as a PNG file.
  ///
  /// - Parameter text: keywords and texts to carry, as `parameters` of A1111.
  package func png(text: [(keyword: String, text: String)] = []) throws(PNGError) -> [UInt8] {
    var image = unsafe png_image()
    unsafe image.version = UInt32(PNG_IMAGE_VERSION)
    unsafe image.width = UInt32(width)
    unsafe image.height = UInt32(height)
    unsafe image.format = UInt32(PNG_FORMAT_FLAG_COLOR)
    var size: png_alloc_size_t = 0
    // Asked without memory first, libpng says how much it needs.
    let sized = unsafe png_image_write_to_memory(&image, nil, &size, 0, pixels, 0, nil)
    var bytes = [UInt8](repeating: 0, count: Int(size))
    let written =
      sized == 0 ? 0 : unsafe png_image_write_to_memory(&image, &bytes, &size, 0, pixels, 0, nil)
    if written == 0 { throw unsafe .refused(location: "the picture", message: message(of: image)) }
    bytes.removeSubrange(Int(size)...)
    return PNGChunks.inserting(text, into: bytes)
  }

  /// Reads a PNG of any kind as 8-bit color. Transparency is left out, as PIL's `convert("RGB")`
  /// does: the color is what the file has there.
  ///
  /// Memory is bounded by ``pixelLimit``, whatever the file claims.
  package init(png bytes: [UInt8], location: String) throws(PNGError) {
    _ = try PNGChunks.texts(bytes, location: location)
    // libpng keeps the address between its two calls.
    self = try unsafe bytes.span.bytes.withUnsafeBytes { (raw) throws(PNGError) in
      var image = unsafe png_image()
      unsafe image.version = UInt32(PNG_IMAGE_VERSION)
      defer { unsafe png_image_free(&image) }
      guard
        let base = raw.baseAddress,
        unsafe png_image_begin_read_from_memory(&image, base, raw.count) != 0
      else { throw unsafe .refused(location: location, message: message(of: image)) }
      let (width, height) = unsafe (Int(image.width), Int(image.height))
      guard width * height <= Self.pixelLimit else {
        throw .tooLarge(location: location, width: width, height: height)
      }
      // Sixteen bits are levels of the same curve as eight, unless the file says otherwise.
      unsafe image.flags |= UInt32(PNG_IMAGE_FLAG_16BIT_sRGB)
      unsafe image.format = UInt32(PNG_FORMAT_FLAG_COLOR | PNG_FORMAT_FLAG_ALPHA)
      var colors = [UInt8](repeating: 0, count: width * height * 4)
      guard unsafe png_image_finish_read(&image, nil, &colors, 0, nil) != 0 else {
        throw unsafe .refused(location: location, message: message(of: image))
      }
      var pixels = [UInt8](repeating: 0, count: width * height * 3)
      for place in 0..<width * height {
        for channel in 0..<3 { pixels[place * 3 + channel] = colors[place * 4 + channel] }
      }
      return Image(width: width, height: height, pixels: pixels)
    }
  }

  /// Writes the picture as a PNG file that appears whole or not at all.
  package func write(
    to path: String, text: [(keyword: String, text: String)] = [], replacing: Bool
  ) throws {
    let bytes = try png(text: text)
    let file = try ReplacingFile(path: path, replacing: replacing)
    try file.write(bytes)
    try file.commit()
  }
}

/// What libpng says went wrong.
private func message(of image: png_image) -> String {
  unsafe withUnsafeBytes(of: image.message) { raw in
    unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
  }
}

private import CPNG
private import Foundation
package import Support

/// Why a PNG file cannot be read or written.
package enum PNGError: Error, Equatable, CustomStringConvertible {
  case notPNG(location: String)
  /// A chunk extends past the end of the file, or its checksum is wrong.
  case damaged(location: String, chunk: String, offset: Int)
  /// More pixels than ``Image/pixelLimit``.
  case tooLarge(location: String, width: Int, height: Int, limit: Int = Image.pixelLimit)
  /// An error message of libpng.
  case refused(location: String, message: String)

  package var description: String {
    switch self {
    case .notPNG(let location):
      "\(location) is not a PNG file: it does not begin with the PNG signature"
    case .damaged(let location, let chunk, let offset):
      "\(location): PNG chunk '\(shown(chunk))' at byte \(offset) is truncated or damaged"
    case .tooLarge(let location, let width, let height, let limit):
      "\(location): the image has \(width)x\(height) pixels; expected at most \(limit)"
    case .refused(let location, let message): "\(location): libpng: \(shown(message))"
    }
  }
}

// Only this file calls libpng, and only through its simplified API, which reports errors in a
// struct instead of with longjmp.
extension Image {
  /// Most pixels of an image that is read: 8192 x 8192, which take 448 MB while reading.
  package static let pixelLimit = 1 << 26

  /// Encodes the image as a PNG file.
  ///
  /// - Parameter text: keywords and texts to store, such as A1111's `parameters`.
  package func png(text: [(keyword: String, text: String)] = []) throws(PNGError) -> [UInt8] {
    var image = unsafe png_image()
    unsafe image.version = UInt32(PNG_IMAGE_VERSION)
    unsafe image.width = UInt32(width)
    unsafe image.height = UInt32(height)
    unsafe image.format = UInt32(PNG_FORMAT_FLAG_COLOR)
    var size: png_alloc_size_t = 0
    // The first call, without a buffer, computes the size.
    let sized = unsafe png_image_write_to_memory(&image, nil, &size, 0, pixels, 0, nil)
    var bytes = [UInt8](repeating: 0, count: Int(size))
    let written =
      sized == 0 ? 0 : unsafe png_image_write_to_memory(&image, &bytes, &size, 0, pixels, 0, nil)
    if written == 0 { throw unsafe .refused(location: "the image", message: message(of: image)) }
    bytes.removeSubrange(Int(size)...)
    return PNGChunks.inserting(text, into: bytes)
  }

  /// An upper bound of the bytes of a PNG file of this size: those of incompressible pixels.
  package static func mostBytes(ofPNG size: ImageSize) -> Int {
    let bytes = size.height * (3 * size.width + 1)
    // The headers of deflate blocks and of PNG chunks, and texts.
    return bytes + bytes / 256 + 4096
  }

  /// Decodes a PNG of any color type and depth as 8-bit RGB. The alpha channel is dropped without
  /// blending, as PIL's `convert("RGB")` does.
  ///
  /// - Parameter limit: the most pixels, which bounds the memory.
  package init(
    png bytes: [UInt8], location: String, limit: Int = Self.pixelLimit
  ) throws(PNGError) {
    _ = try PNGChunks.texts(bytes, location: location)
    // libpng keeps the address between the two calls.
    self = try unsafe bytes.span.bytes.withUnsafeBytes { (raw) throws(PNGError) in
      var image = unsafe png_image()
      unsafe image.version = UInt32(PNG_IMAGE_VERSION)
      defer { unsafe png_image_free(&image) }
      guard
        let base = raw.baseAddress,
        unsafe png_image_begin_read_from_memory(&image, base, raw.count) != 0
      else { throw unsafe .refused(location: location, message: message(of: image)) }
      let (width, height) = unsafe (Int(image.width), Int(image.height))
      guard width * height <= limit else {
        throw .tooLarge(location: location, width: width, height: height, limit: limit)
      }
      // Treat 16-bit levels as sRGB like 8-bit ones, unless the file states a gamma.
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

  /// Writes the image to a PNG file, which is created completely or not at all.
  package func write(
    to path: String, text: [(keyword: String, text: String)] = [], replacing: Bool
  ) throws {
    let bytes = try png(text: text)
    let file = try ReplacingFile(path: path, replacing: replacing)
    try file.write(bytes)
    try file.commit()
  }
}

/// libpng's error message.
private func message(of image: png_image) -> String {
  unsafe withUnsafeBytes(of: image.message) { raw in
    unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
  }
}

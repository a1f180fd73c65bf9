import Support

/// Reads the bytes of a pickle in order.
struct PickleInput {
  private let contents: ByteSlice
  /// The offset of the next byte.
  private(set) var offset: Int
  private var chunk: [UInt8] = []
  private var chunkStart = 0
  private static let chunkSize = 1 << 16

  /// - Parameter offset: the offset of the pickle.
  init(_ contents: ByteSlice, at offset: Int) {
    self.contents = contents
    self.offset = offset
    chunkStart = offset
  }

  var left: Int { contents.count - offset }

  mutating func byte() throws(PickleFault) -> UInt8 {
    if offset - chunkStart >= chunk.count {
      guard left > 0 else { throw .ends }
      chunkStart = offset
      chunk = contents[offset..<offset + min(left, Self.chunkSize)].array
    }
    defer { offset += 1 }
    return chunk[offset - chunkStart]
  }

  /// Reads `count` bytes.
  mutating func take(_ count: UInt64) throws(PickleFault) -> ByteSlice {
    guard count <= UInt64(left) else { throw .beyondEnd(bytes: count, available: left) }
    defer { offset += Int(count) }
    return contents[offset..<offset + Int(count)]
  }

  /// Reads a little-endian number of `width` bytes.
  mutating func number(_ width: Int) throws(PickleFault) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<width { value |= UInt64(try byte()) << UInt64(8 * index) }
    return value
  }

  /// Reads the text up to the next line feed, and skips the line feed.
  mutating func line() throws(PickleFault) -> String {
    var bytes: [UInt8] = []
    while true {
      let byte = try byte()
      if byte == UInt8(ascii: "\n") { break }
      guard bytes.count < PickleLimits.name else { throw .longName(limit: PickleLimits.name) }
      bytes.append(byte)
    }
    return try text(of: bytes)
  }

  /// Reads a string of `count` bytes of UTF-8.
  mutating func text(_ count: UInt64) throws(PickleFault) -> String {
    try text(of: try take(count).array)
  }

  private func text(of bytes: [UInt8]) throws(PickleFault) -> String {
    do { return try String(fileText: bytes) } catch { throw .text(error) }
  }
}

/// Limits that bound the time and memory of a pickle. Each opcode makes at most one value, and
/// strings are not longer than their bytes in the file.
enum PickleLimits {
  /// Opcodes: twelve times as many as in a checkpoint of SDXL with its optimizer.
  static let opcodes = 4_000_000
  /// Bytes of one pickle.
  static let bytes = 64 << 20
  /// Bytes of the name of a class, a tensor or a storage.
  static let name = TextLimits.tensorName
  /// Different classes and functions that a pickle names. PyTorch's checkpoints name about twenty.
  static let globals = 1000
  /// Extents of a tensor. PyTorch allows 64.
  static let extents = 1000
}

private import CZlib
internal import Support

// The calls of zlib's deflate. No other file of this module uses unsafe memory.

/// The compression strategy of a raw deflate stream.
enum DeflateStrategy {
  /// Huffman codes without matches.
  case huffman
  /// Huffman codes and matches, at the highest compression level.
  case matches
}

/// `input` as one raw deflate stream (RFC 1951); `nil` where the stream is not shorter than
/// `input`.
func deflated(_ input: [UInt8], _ strategy: DeflateStrategy) -> [UInt8]? {
  if input.isEmpty { return nil }
  var isComplete = false
  let output = unsafe [UInt8](unsafeUninitializedCapacity: input.count - 1) { target, count in
    var stream = unsafe z_stream()
    // zlib keeps the address of the stream, so all calls use the same one.
    count = unsafe withUnsafeMutablePointer(to: &stream) { stream in
      let (level, kind): (Int32, Int32) =
        strategy == .huffman ? (1, Z_HUFFMAN_ONLY) : (9, Z_DEFAULT_STRATEGY)
      // -15: a raw stream with the largest window. 9: the longest blocks, so the fewest tables.
      let status = unsafe deflateInit2_(
        stream, level, Z_DEFLATED, -15, 9, kind, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
      guard status == Z_OK else { return 0 }
      defer { unsafe deflateEnd(stream) }
      return unsafe input.withUnsafeBufferPointer { source in
        unsafe stream.pointee.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
        unsafe stream.pointee.avail_in = UInt32(source.count)
        unsafe stream.pointee.next_out = target.baseAddress
        unsafe stream.pointee.avail_out = UInt32(target.count)
        isComplete = unsafe deflate(stream, Z_FINISH) == Z_STREAM_END
        return unsafe target.count - Int(stream.pointee.avail_out)
      }
    }
  }
  return isComplete ? output : nil
}

/// The decoded bytes of a raw deflate stream; `nil` unless the stream uses all of `input` and
/// decodes to exactly `count` bytes.
func inflated(_ input: ByteSlice, count: Int) -> [UInt8]? {
  var isComplete = false
  let output = unsafe [UInt8](unsafeUninitializedCapacity: count) { target, written in
    var stream = unsafe z_stream()
    written = unsafe withUnsafeMutablePointer(to: &stream) { stream in
      let status = unsafe inflateInit2_(
        stream, -15, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
      guard status == Z_OK else { return 0 }
      defer { unsafe inflateEnd(stream) }
      return unsafe input.bytes.withUnsafeBytes { source in
        unsafe stream.pointee.next_in = UnsafeMutablePointer(
          mutating: source.baseAddress?.assumingMemoryBound(to: UInt8.self))
        unsafe stream.pointee.avail_in = UInt32(source.count)
        unsafe stream.pointee.next_out = target.baseAddress
        unsafe stream.pointee.avail_out = UInt32(count)
        let status = unsafe inflate(stream, Z_FINISH)
        let left = unsafe (stream.pointee.avail_in, stream.pointee.avail_out)
        isComplete = status == Z_STREAM_END && left == (0, 0)
        return count - Int(left.1)
      }
    }
  }
  return isComplete ? output : nil
}

package import ModelSources
package import Support

/// The `.decant` file: one file that holds a whole model, specified in `Formats/decant.md`.
///
///     0        64                                                     length - 96
///     +--------+----------+---+----------+---+-- … --+---+----------+--------+
///     | header | region 0 | 0 | region 1 | 0 |       | 0 | manifest | footer |
///     +--------+----------+---+----------+---+-- … --+---+----------+--------+
///
/// A region stores one part of a tensor, or one small file. Zeros fill the space up to the next
/// multiple of 64 bytes. There are no other gaps.
package enum Packfile {
  package static let version: UInt32 = 1
  package static let layout = "decant file"

  static let headerMagic: [UInt8] = [0x89, 0x44, 0x43, 0x4e, 0x54, 0x0d, 0x0a, 0x1a]
  static let footerMagic: [UInt8] = [UInt8]("DCNTend\n".utf8)
  static let headerSize = 64
  static let footerSize = 96
  static let alignment = 64
  static let manifestLimit = 16 << 20

  /// Elements in a block of a coded region.
  static let blockElements = 1 << 18
  static let tableEntrySize = 12
  /// Blocks that are coded or decoded at a time. The number bounds the memory.
  static let window = 16
  /// The largest ratio of a chunk's decoded size to its stored size.
  static let expansionLimit = 16

  /// The smallest multiple of 64 that is not below `offset`.
  static func align(_ offset: Int) -> Int { (offset + alignment - 1) / alignment * alignment }

  /// Whether the file at `path` begins or ends like a `.decant` file. The name does not matter.
  ///
  /// One of both is enough, so that the reader reports a truncated file as damaged.
  package static func recognizes(_ path: String) -> Bool {
    guard let contents = try? ByteSlice.mapping(path) else { return false }
    return begins(contents) || ends(contents)
  }

  static func begins(_ contents: ByteSlice) -> Bool {
    contents.count >= headerMagic.count && contents[0..<headerMagic.count].array == headerMagic
  }

  static func ends(_ contents: ByteSlice) -> Bool {
    guard contents.count >= footerSize else { return false }
    let start = contents.count - footerSize
    return contents[start..<start + footerMagic.count].array == footerMagic
  }

  /// Checks every byte of the file at `path`; see ``PackfileReader/check(progress:)``.
  package static func check(
    _ path: String, progress: (_ done: Int, _ total: Int) -> Void
  ) throws {
    try PackfileReader(path: path).check(progress: progress)
  }

  /// Stores a parity record in the file at `path`, or removes it where `parity` is `nil`.
  ///
  /// Copies the regions to a new file that replaces the old one, because another process may have
  /// mapped the old file.
  ///
  /// - Parameter progress: called with the bytes copied so far and in total.
  package static func record(
    parity: JSONObject?, in path: String, progress: (_ done: Int, _ total: Int) -> Void
  ) throws {
    let reader = try PackfileReader(path: path)
    var manifest = reader.manifest
    manifest.parity = parity
    let file = try ReplacingFile(path: path, replacing: true)
    let total = reader.manifestOffset
    let step = 8 << 20
    for start in stride(from: 0, to: total, by: step) {
      try Cancellation.check()
      try file.write(reader.contents.window(start..<min(start + step, total)))
      progress(min(start + step, total), total)
    }
    try file.finish(manifest)
  }
}

/// Reads models from `.decant` files.
package struct PackfileModelReader: ModelReader {
  package init() {}

  package var layout: String { Packfile.layout }

  package func recognizes(_ path: String) -> Bool { Packfile.recognizes(path) }

  package func read(_ path: String, options: ReadOptions) throws -> ModelSource {
    if let variant = options.variant {
      throw VariantError(path: path, variant: variant)
    }
    if options.ema { throw PackfileError(path, .averaged) }
    return try PackfileReader(path: path).model()
  }

  package func checksums(of path: String) -> Checksums { .compared }

  package func check(_ path: String, progress: (_ done: Int, _ total: Int) -> Void) throws {
    try Packfile.check(path, progress: progress)
  }
}

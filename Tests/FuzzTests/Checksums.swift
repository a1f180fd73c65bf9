import Packfiles
import Support

/// Makes changed bytes pass the checks of lengths and checksums, so that readers look at what is
/// behind these.
enum Checksums {
  /// The part of a file that is changed, and the whole file with another such part.
  struct Part {
    let bytes: [UInt8]
    let replaced: ([UInt8]) -> [UInt8]
  }

  /// The header of a safetensors file.
  static func safetensorsHeader(_ file: [UInt8]) -> Part? {
    guard file.count >= 8, let length = number(file, 0, 8), length <= file.count - 8 else {
      return nil
    }
    return Part(bytes: Array(file[8..<8 + length])) { header in
      [UInt8](littleEndian: UInt64(header.count)) + header + file[(8 + length)...]
    }
  }

  /// The manifest of a `.decant` file.
  static func manifest(_ file: [UInt8]) -> Part? {
    let footer = file.count - 96
    guard footer > 0, let start = number(file, footer + 16, 8), start <= footer else { return nil }
    return Part(bytes: Array(file[start..<footer])) { manifest in
      file[..<start] + manifest + Frame.footer(manifest: manifest, at: start)
    }
  }

  /// The pickle of a ZIP archive. It keeps its length, and the directory gets its checksum.
  static func pickle(_ file: [UInt8]) -> Part? {
    let name = Array("data.pkl".utf8)
    for entry in places(of: [0x50, 0x4b, 1, 2], in: file) {
      guard let nameLength = number(file, entry + 28, 2), let size = number(file, entry + 24, 4),
        let local = number(file, entry + 42, 4), entry + 46 + nameLength <= file.count,
        file[(entry + 46)...].prefix(nameLength).suffix(name.count).elementsEqual(name),
        let localName = number(file, local + 26, 2), let extra = number(file, local + 28, 2)
      else { continue }
      let start = local + 30 + localName + extra
      guard start + size <= file.count else { continue }
      return Part(bytes: Array(file[start..<start + size])) { pickle in
        let fitted = filled(pickle, to: size)
        var file = file
        file.replaceSubrange(start..<start + size, with: fitted)
        file.replaceSubrange(
          entry + 16..<entry + 20, with: [UInt8](littleEndian: crc32(of: fitted)))
        return file
      }
    }
    return nil
  }

  /// A pickle of `count` bytes: cut, or with opcodes that do nothing before its last one.
  private static func filled(_ pickle: [UInt8], to count: Int) -> [UInt8] {
    var filling: [UInt8] = []
    let missing = count - pickle.count
    // NONE and POP, two bytes; BININT1 and POP, three bytes.
    if missing % 2 == 1, missing > 1 { filling += [0x4b, 1, 0x30] }
    while filling.count + 1 < missing { filling += [0x4e, 0x30] }
    return Array((pickle.dropLast() + filling + pickle.suffix(1)).prefix(count))
      + [UInt8](repeating: 0, count: max(0, missing - filling.count))
  }

  /// A PNG image whose chunks get their checksums.
  static func chunks(_ file: [UInt8]) -> Part? {
    Part(bytes: file) { file in
      var file = file
      var offset = 8
      while offset + 12 <= file.count {
        let length = file[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
        guard length <= file.count - offset - 12 else { break }
        let end = offset + 8 + length
        let crc = crc32(of: Array(file[offset + 4..<end]))
        file.replaceSubrange(end..<end + 4, with: [UInt8](littleEndian: crc).reversed())
        offset = end + 4
      }
      return file
    }
  }

  /// A little-endian number; `nil` beyond the end and for large numbers.
  private static func number(_ bytes: [UInt8], _ offset: Int, _ width: Int) -> Int? {
    guard offset >= 0, offset + width <= bytes.count else { return nil }
    let value = bytes[offset..<offset + width].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    return value < 1 << 40 ? Int(value) : nil
  }

  private static func places(of signature: [UInt8], in bytes: [UInt8]) -> [Int] {
    bytes.indices.dropLast(signature.count).filter { place in
      bytes[place] == signature[0] && bytes[place...].starts(with: signature)
    }
  }
}

package import Support

/// The entries of a ZIP archive, read from its directory and checked against the archive.
///
///     +--------------+---------------+-----+-----------+------------------+--------------+
///     | local header | entry's bytes | ... | directory | ZIP64: end, link | end (22 b.)  |
///     +--------------+---------------+-----+-----------+------------------+--------------+
///
/// Source: PKWARE's APPNOTE 6.3.10, sections 4.3 to 4.5. Reads the form that PyTorch writes: one
/// volume, uncompressed entries. The sizes in both headers must agree, entries must not overlap,
/// and names must be unique paths without `..`.
struct ZIPArchive {
  struct Entry: Equatable {
    let name: String
    /// The byte range in the archive.
    let bytes: Range<Int>
    /// The CRC-32 in the directory.
    let checksum: UInt32
  }

  /// The most entries: one for each tensor, and a few others.
  private static let entryLimit = TensorLimits.count + 1000

  /// The entries, in the order of their bytes.
  let entries: [Entry]
  private let byName: [String: Int]

  subscript(name: String) -> Entry? { byName[name].map { entries[$0] } }

  init(_ contents: ByteSlice) throws(ZIPFault) {
    let directory = try ZIPEnd(contents).directory
    guard directory.count <= Self.entryLimit else {
      throw .tooManyEntries(directory.count, limit: Self.entryLimit)
    }
    var reader = ZIPFields(contents, in: directory)
    var found: [(entry: Entry, start: Int)] = []
    var seen: Set<String> = []
    while !reader.isAtEnd {
      guard found.count < Self.entryLimit else {
        throw .wrongCount(found: found.count + 1, announced: directory.count)
      }
      let item = try reader.directoryEntry(index: found.count)
      guard seen.insert(item.name).inserted else { throw .duplicateName(item.name) }
      found.append((try item.located(in: contents, before: directory.lowerBound), item.start))
    }
    guard found.count == directory.count else {
      throw .wrongCount(found: found.count, announced: directory.count)
    }
    found.sort { ($0.start, $0.entry.bytes.upperBound) < ($1.start, $1.entry.bytes.upperBound) }
    for (left, right) in zip(found, found.dropFirst())
    where right.start < left.entry.bytes.upperBound {
      throw .overlap(left.entry.name, right.entry.name)
    }
    entries = found.map(\.entry)
    byName = Dictionary(
      uniqueKeysWithValues: entries.enumerated().map { ($0.element.name, $0.offset) })
  }
}

extension ZIPArchive {
  /// The names of all entries, also of compressed ones; empty for an archive without a valid
  /// directory.
  static func names(_ contents: ByteSlice) -> [String] {
    guard let directory = try? ZIPEnd(contents).directory else { return [] }
    var reader = ZIPFields(contents, in: directory)
    var names: [String] = []
    while !reader.isAtEnd, names.count < entryLimit {
      guard let item = try? reader.directoryEntry(index: names.count, allowsCompression: true)
      else { break }
      names.append(item.name)
    }
    return names
  }
}

/// Why a ZIP archive cannot be read.
package enum ZIPFault: RemediableError, Equatable {
  case noEnd
  case manyVolumes
  /// A directory that does not fill the bytes between the last entry and the end record.
  case directoryMisplaced(start: UInt64, bytes: UInt64, end: Int)
  case brokenZIP64(String)
  case brokenDirectory(entry: Int)
  case wrongCount(found: Int, announced: UInt64)
  case unsafeName(String)
  case name(entry: Int, TextFault)
  case tooManyEntries(UInt64, limit: Int)
  case duplicateName(String)
  case encrypted(String)
  case compressed(String, method: UInt16)
  case sizesDisagree(String, stored: UInt64, full: UInt64)
  case brokenLocalHeader(String, found: String)
  case beyondDirectory(String, end: UInt64, limit: Int)
  case overlap(String, String)

  package var description: String {
    switch self {
    case .noEnd:
      "no directory at the end of the ZIP archive; the file is incomplete"
    case .manyVolumes:
      "the ZIP archive is split into volumes, which PyTorch never writes"
    case .directoryMisplaced(let start, let bytes, let end):
      "the ZIP archive's directory has \(bytes) bytes from byte \(start), expected an end at byte "
        + "\(end); the file is damaged"
    case .brokenZIP64(let found):
      "the ZIP archive's ZIP64 fields: \(found); the file is damaged"
    case .brokenDirectory(let entry):
      "entry \(entry) of the ZIP archive's directory is damaged"
    case .wrongCount(let found, let announced):
      "the ZIP archive's directory holds \(found) entries, expected \(announced); "
        + "the file is damaged"
    case .unsafeName(let name):
      "the ZIP archive has an entry called '\(shown(name))', an unsafe path; "
        + "PyTorch writes no such file"
    case .name(let entry, let fault):
      "the name of entry \(entry) of the ZIP archive is \(fault)"
    case .tooManyEntries(let count, let limit):
      "the ZIP archive's directory announces \(count) entries, expected at most \(limit)"
    case .duplicateName(let name):
      "the ZIP archive has two entries called '\(shown(name))', expected one"
    case .encrypted(let name):
      "entry '\(shown(name))' of the ZIP archive is encrypted"
    case .compressed(let name, let method):
      "entry '\(shown(name))' of the ZIP archive is compressed (method \(method)), which PyTorch "
        + "never does"
    case .sizesDisagree(let name, let stored, let full):
      "entry '\(shown(name))' of the ZIP archive is not compressed, but its sizes differ: "
        + "\(stored) and \(full) bytes; the file is damaged"
    case .brokenLocalHeader(let name, let found):
      "entry '\(shown(name))' of the ZIP archive: its local header \(found); the file is damaged"
    case .beyondDirectory(let name, let end, let limit):
      "entry '\(shown(name))' of the ZIP archive ends at byte \(end), expected an end by byte "
        + "\(limit); the file is damaged"
    case .overlap(let first, let second):
      "entries '\(shown(first))' and '\(shown(second))' of the ZIP archive overlap; "
        + "the file is damaged, or made to mislead"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .noEnd: .downloadAgain
    case .encrypted: .act("decrypt it first")
    case .compressed:
      .act("unpack the archive and pack it again without compression (zip -0)")
    default: nil
    }
  }
}

/// An entry of the directory.
private struct ZIPItem {
  let name: String
  let nameLength: Int
  let checksum: UInt32
  let size: UInt64
  /// The offset of the entry's local header.
  let start: Int

  /// The byte range of the entry, after its local header. Checks that both headers agree.
  func located(in contents: ByteSlice, before limit: Int) throws(ZIPFault) -> ZIPArchive.Entry {
    let fixed = 30
    guard start + fixed + nameLength <= limit else {
      throw .beyondDirectory(name, end: UInt64(start + fixed + nameLength), limit: limit)
    }
    var reader = ZIPFields(contents, from: start, to: start + fixed + nameLength)
    guard reader.u32() == 0x0403_4b50 else {
      throw .brokenLocalHeader(name, found: "is missing")
    }
    reader.skip(2)
    let flags = reader.u16()
    let method = reader.u16()
    reader.skip(8)
    let (stored, full) = (reader.u32(), reader.u32())
    let (ownLength, extra) = (Int(reader.u16()), Int(reader.u16()))
    guard ownLength == nameLength, (try? reader.text(nameLength)) == name else {
      throw .brokenLocalHeader(name, found: "has another name")
    }
    guard method == 0, flags & 1 == 0 else {
      throw .brokenLocalHeader(name, found: "says that the entry is compressed or encrypted")
    }
    // With bit 3, the sizes follow the bytes. A field with all bits set refers to a ZIP64 field.
    if flags & 8 == 0 {
      for own in [stored, full] where own != .max && UInt64(own) != size {
        throw .brokenLocalHeader(name, found: "has a size of \(own), the directory one of \(size)")
      }
    }
    let first = start + fixed + nameLength + extra
    let (end, overflow) = UInt64(first).addingReportingOverflow(size)
    guard !overflow, end <= UInt64(limit) else {
      throw .beyondDirectory(name, end: overflow ? .max : end, limit: limit)
    }
    return ZIPArchive.Entry(name: name, bytes: first..<Int(end), checksum: checksum)
  }
}

/// Reads consecutive little-endian fields of an archive.
///
/// A field beyond the end reads as 0. Callers check the size first.
private struct ZIPFields {
  private let bytes: [UInt8]
  private var position = 0

  init(_ contents: ByteSlice, from start: Int, to end: Int) {
    bytes = contents[start..<end].array
  }

  init(_ contents: ByteSlice, in directory: ZIPEnd.Directory) {
    self.init(contents, from: directory.lowerBound, to: directory.upperBound)
  }

  var isAtEnd: Bool { position >= bytes.count }
  var left: Int { bytes.count - position }

  mutating func skip(_ count: Int) { position += count }
  mutating func u16() -> UInt16 { UInt16(truncatingIfNeeded: number(2)) }
  mutating func u32() -> UInt32 { UInt32(truncatingIfNeeded: number(4)) }
  mutating func u64() -> UInt64 { number(8) }

  private mutating func number(_ width: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<width where position + index < bytes.count {
      value |= UInt64(bytes[position + index]) << UInt64(8 * index)
    }
    position += width
    return value
  }

  /// The text of the next `count` bytes, which exist.
  mutating func text(_ count: Int) throws(TextFault) -> String {
    defer { position += count }
    return try String(fileText: bytes[position..<position + count])
  }

  /// Reads an entry of the directory, including its ZIP64 fields.
  mutating func directoryEntry(
    index: Int, allowsCompression: Bool = false
  ) throws(ZIPFault) -> ZIPItem {
    guard left >= 46, u32() == 0x0201_4b50 else { throw .brokenDirectory(entry: index) }
    skip(4)
    let (flags, method) = (u16(), u16())
    skip(4)
    let checksum = u32()
    var (stored, full) = (UInt64(u32()), UInt64(u32()))
    let (nameLength, extraLength, commentLength) = (Int(u16()), Int(u16()), Int(u16()))
    let volume = u16()
    skip(6)
    var start = UInt64(u32())
    guard left >= nameLength + extraLength + commentLength else {
      throw .brokenDirectory(entry: index)
    }
    let name: String
    do { name = try text(nameLength) } catch { throw .name(entry: index, error) }
    guard Self.isSafe(name) else { throw .unsafeName(name) }
    let extraEnd = position + extraLength
    while position + 4 <= extraEnd {
      let (tag, length) = (u16(), Int(u16()))
      let end = position + length
      guard end <= extraEnd else { throw .brokenDirectory(entry: index) }
      if tag == 1 {
        // ZIP64 has exactly the fields with all bits set above, in this order.
        for field in [\Wide.full, \.stored, \.start] {
          var wide = Wide(full: full, stored: stored, start: start)
          guard wide[keyPath: field] == UInt64(UInt32.max) else { continue }
          guard position + 8 <= end else {
            throw .brokenZIP64("entry '\(shown(name))' lacks a size or an offset")
          }
          wide[keyPath: field] = u64()
          (full, stored, start) = (wide.full, wide.stored, wide.start)
        }
      }
      position = end
    }
    position = extraEnd + commentLength
    guard volume == 0 else { throw .manyVolumes }
    guard flags & 1 == 0 else { throw .encrypted(name) }
    guard method == 0 || allowsCompression else { throw .compressed(name, method: method) }
    guard stored == full || allowsCompression else {
      throw .sizesDisagree(name, stored: stored, full: full)
    }
    guard start <= UInt64(Int32.max) << 24 else {
      throw .beyondDirectory(name, end: start, limit: 0)
    }
    return ZIPItem(
      name: name, nameLength: nameLength, checksum: checksum, size: full, start: Int(start))
  }

  private struct Wide {
    var full: UInt64
    var stored: UInt64
    var start: UInt64
  }

  /// Whether a name is a relative path without `..`.
  private static func isSafe(_ name: String) -> Bool {
    !name.isEmpty && !name.hasPrefix("/") && !name.utf8.contains(0) && !name.contains("\\")
      && !name.split(separator: "/", omittingEmptySubsequences: false).contains("..")
  }
}

/// The end record of an archive, which locates the directory.
private struct ZIPEnd {
  struct Directory {
    let lowerBound: Int
    let upperBound: Int
    let count: UInt64
  }

  /// The most bytes of the directory.
  static let directoryLimit: UInt64 = 64 << 20

  let directory: Directory

  init(_ contents: ByteSlice) throws(ZIPFault) {
    let place = try Self.find(contents)
    var end = ZIPFields(contents, from: place + 4, to: place + 22)
    let volumes = (end.u16(), end.u16())
    let counts = (end.u16(), end.u16())
    var (count, bytes, start) = (UInt64(counts.1), UInt64(end.u32()), UInt64(end.u32()))
    guard volumes == (0, 0), counts.0 == counts.1 else { throw .manyVolumes }

    var limit = place
    if let wide = try Self.zip64(contents, before: place) {
      limit = wide.place
      for (narrow, all, full) in [
        (count, UInt64(UInt16.max), wide.count), (bytes, UInt64(UInt32.max), wide.bytes),
        (start, UInt64(UInt32.max), wide.start),
      ] where narrow != all && narrow != full {
        throw .brokenZIP64("\(full) where the end of the archive has \(narrow)")
      }
      (count, bytes, start) = (wide.count, wide.bytes, wide.start)
    }
    let (end64, overflow) = start.addingReportingOverflow(bytes)
    guard !overflow, end64 == UInt64(limit), bytes <= Self.directoryLimit else {
      throw .directoryMisplaced(start: start, bytes: bytes, end: limit)
    }
    directory = Directory(lowerBound: Int(start), upperBound: limit, count: count)
  }

  /// The offset of the end record: 22 bytes and a comment up to the end of the file.
  private static func find(_ contents: ByteSlice) throws(ZIPFault) -> Int {
    let size = 22
    let first = max(0, contents.count - size - Int(UInt16.max))
    let tail = contents[first..<contents.count].array
    var place = tail.count - size
    while place >= 0 {
      if tail[place] == 0x50, tail[place + 1] == 0x4b, tail[place + 2] == 5, tail[place + 3] == 6 {
        let comment = Int(tail[place + 20]) | Int(tail[place + 21]) << 8
        if place + size + comment == tail.count { return first + place }
      }
      place -= 1
    }
    throw .noEnd
  }

  /// The ZIP64 fields, where their locator precedes the end record.
  private static func zip64(
    _ contents: ByteSlice, before end: Int
  ) throws(ZIPFault) -> (place: Int, count: UInt64, bytes: UInt64, start: UInt64)? {
    let (linkSize, size) = (20, 56)
    guard end >= linkSize else { return nil }
    var link = ZIPFields(contents, from: end - linkSize, to: end)
    guard link.u32() == 0x0706_4b50 else { return nil }
    let volume = link.u32()
    let place = link.u64()
    guard volume == 0, link.u32() <= 1 else { throw .manyVolumes }
    guard end >= linkSize + size, place <= UInt64(end - linkSize - size) else {
      throw .brokenZIP64("the link leads to byte \(place)")
    }
    var wide = ZIPFields(contents, from: Int(place), to: Int(place) + size)
    guard wide.u32() == 0x0606_4b50 else {
      throw .brokenZIP64("the link leads to byte \(place), where they are not")
    }
    guard wide.u64() == UInt64(end - linkSize - Int(place) - 12) else {
      throw .brokenZIP64("their length does not lead to the end of the archive")
    }
    wide.skip(4)
    let volumes = (wide.u32(), wide.u32())
    let counts = (wide.u64(), wide.u64())
    guard volumes == (0, 0), counts.0 == counts.1 else { throw .manyVolumes }
    return (Int(place), counts.1, wide.u64(), wide.u64())
  }
}

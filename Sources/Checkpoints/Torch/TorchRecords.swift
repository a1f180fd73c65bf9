import Support

/// The records of a PyTorch file: one pickled value, and the bytes of its storages.
///
/// In a ZIP archive, since PyTorch 1.6:
///
///     NAME/data.pkl       the value's pickle
///     NAME/data/KEY       a storage
///     NAME/byteorder      "little", since 2.0
///     NAME/version        and others, which are not read
///
/// Before that, a sequence of pickles: a magic number, the version 1001, facts of the machine, the
/// value, and the storages' keys. After them, each storage has its number of elements (i64) and its
/// bytes.
///
/// Source: `torch/serialization.py` of 2.13, `_save`, `_load`, `_legacy_save`, `_legacy_load`.
struct TorchRecords {
  let value: PickleValue
  let machine: PickleMachine
  /// The byte range of each storage in the file, by key.
  let places: [String: Range<Int>]

  init(_ contents: ByteSlice, path: String) throws(TorchError) {
    self =
      Self.isArchive(contents)
      ? try Self.archive(contents, path: path) : try Self.legacy(contents, path: path)
  }

  private init(_ value: PickleValue, _ machine: PickleMachine, _ places: [String: Range<Int>]) {
    self.value = value
    self.machine = machine
    self.places = places
  }

  static func isArchive(_ contents: ByteSlice) -> Bool {
    contents.count >= 4 && contents[0..<4].array == [0x50, 0x4b, 3, 4]
  }

  private static func unpickle(
    _ contents: ByteSlice, at offset: Int = 0, _ record: String, path: String
  ) throws(TorchError) -> (value: PickleValue, machine: PickleMachine) {
    do {
      return try PickleMachine.run(contents, at: offset)
    } catch {
      throw .pickle(path: path, record: record, offset: error.offset, error.fault)
    }
  }

  // MARK: The ZIP form

  private static func archive(
    _ contents: ByteSlice, path: String
  ) throws(TorchError) -> TorchRecords {
    let archive: ZIPArchive
    do { archive = try ZIPArchive(contents) } catch {
      try refusePackedModel(ZIPArchive.names(contents), path: path)
      throw .archive(path: path, error)
    }
    let pickle = "data.pkl"
    let pickles = archive.entries.filter {
      $0.name.split(separator: "/").count == 2 && $0.name.hasSuffix("/" + pickle)
    }
    guard pickles.count == 1, let entry = pickles.first else {
      try refusePackedModel(archive.entries.map(\.name), path: path)
      throw .missingRecord(
        path: path, record: "NAME/" + pickle, found: archive.entries.map(\.name))
    }
    let folder = entry.name.dropLast(pickle.count)
    let bytes = contents[entry.bytes]
    guard bytes.count <= PickleLimits.bytes else {
      throw .pickleTooLarge(
        path: path, record: entry.name, bytes: bytes.count, limit: PickleLimits.bytes)
    }
    let checksum = crc32(of: bytes.bytes)
    guard checksum == entry.checksum else {
      throw .wrongChecksum(
        path: path, record: entry.name, expected: entry.checksum, found: checksum)
    }
    if let order = archive[folder + "byteorder"] {
      let length = min(order.bytes.count, 100)
      let text = String(
        decoding: contents[order.bytes].array.prefix(length), as: UTF8.self)
      guard text == "little" else { throw .bigEndian(path: path, found: text) }
    }
    let (value, machine) = try unpickle(bytes, entry.name, path: path)
    guard machine.end == bytes.count else {
      throw .pickle(
        path: path, record: entry.name, offset: machine.end,
        .trailingBytes(bytes.count - machine.end))
    }
    var places: [String: Range<Int>] = [:]
    for storage in machine.storages {
      let name = "\(folder)data/\(storage.key)"
      guard let place = archive[name]?.bytes else {
        throw .missingRecord(path: path, record: name, found: archive.entries.map(\.name))
      }
      // Views in files of PyTorch before 1.6 do not state the size of the whole storage.
      let (size, overflow) = storage.wholeCount.multipliedReportingOverflow(by: storage.width)
      guard !overflow, size == place.count else {
        throw .storage(
          path: path, storage: storage.key,
          reason: "the pickle states \(storage.wholeCount) elements of \(storage.width) bytes, its "
            + "record has \(place.count) bytes; the file is damaged")
      }
      places[storage.key] = place
    }
    return TorchRecords(value, machine, places)
  }

  /// Refuses an archive into which a model was packed, by the names of its entries.
  private static func refusePackedModel(
    _ names: [String], path: String
  ) throws(TorchError) {
    let index = names.first { PathParts($0).name == DiffusersLayout.indexFile }
    let file = names.first(where: isTensorFileName)
    if let entry = index ?? file {
      throw .packedModel(path: path, entry: entry, isFolder: index != nil)
    }
  }

  // MARK: The older form

  static let magic: [UInt8] = [
    0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
  ]

  private static func legacy(
    _ contents: ByteSlice, path: String
  ) throws(TorchError) -> TorchRecords {
    let start = 2 + magic.count
    if isGitLFSPointer(contents) { throw .pointer(path: path) }
    guard contents.count > 0, contents[0..<1].array == [PickleOpcode.proto.rawValue] else {
      throw .notTorch(path: path, found: fileKind(contents))
    }
    guard contents.count > start, contents[2..<start].array == magic else {
      throw .notTorch(path: path, found: "a Python pickle without PyTorch's magic number")
    }
    let version = try unpickle(contents, at: start, "the version's pickle", path: path)
    guard version.value == .integer(1001) else {
      throw .notTorch(
        path: path, found: "a pickle of version \(version.machine.kind(version.value))")
    }
    let facts = try unpickle(
      contents, at: version.machine.end, "the machine's pickle", path: path)
    if let order = facts.machine.member("little_endian", of: facts.value), order != .bool(true) {
      throw .bigEndian(path: path, found: "big")
    }
    let whole = try unpickle(contents, at: facts.machine.end, "the object's pickle", path: path)
    let keys = try unpickle(
      contents, at: whole.machine.end, "the pickle of the storages' names", path: path)
    guard let list = keys.machine.items(keys.value, .list) else {
      throw .notTorch(
        path: path, found: "names of storages that are \(keys.machine.kind(keys.value))")
    }

    let widths = try storageSizes(whole.machine, path: path)
    var places: [String: Range<Int>] = [:]
    var position = keys.machine.end
    for key in list {
      guard let name = key.text ?? key.integer.map({ String($0) }), let size = widths[name],
        places[name] == nil
      else {
        throw .storage(
          path: path, storage: key.text ?? keys.machine.kind(key),
          reason: "is listed twice, or belongs to no tensor; the file is damaged")
      }
      guard position + 8 <= contents.count else {
        throw .storageTruncated(path: path, storage: name, bytes: size.bytes, available: 0)
      }
      let announced = contents[position..<position + 8].words[0]
      position += 8
      guard announced == UInt64(size.count) else {
        throw .storage(
          path: path, storage: name,
          reason: "holds \(announced) elements, the pickle states \(size.count); the file is "
            + "damaged")
      }
      guard contents.count - position >= size.bytes else {
        throw .storageTruncated(
          path: path, storage: name, bytes: size.bytes, available: contents.count - position)
      }
      places[name] = position..<position + size.bytes
      position += size.bytes
    }
    if let absent = widths.keys.sorted().first(where: { places[$0] == nil }) {
      throw .storage(path: path, storage: absent, reason: "is not stored; the file is incomplete")
    }
    guard position == contents.count else {
      throw .trailingBytes(path: path, count: contents.count - position)
    }
    return TorchRecords(whole.value, whole.machine, places)
  }

  /// The elements and bytes of each storage. All references to a storage must agree.
  private static func storageSizes(
    _ machine: PickleMachine, path: String
  ) throws(TorchError) -> [String: (count: Int, bytes: Int)] {
    var sizes: [String: (count: Int, bytes: Int)] = [:]
    for storage in machine.storages {
      let (bytes, overflow) = storage.wholeCount.multipliedReportingOverflow(by: storage.width)
      if overflow {
        throw .storage(
          path: path, storage: storage.key,
          reason: "the size of \(storage.wholeCount) elements overflows")
      }
      if let other = sizes[storage.key], other != (storage.wholeCount, bytes) {
        throw .storage(
          path: path, storage: storage.key,
          reason:
            "has \(other.bytes) bytes for one tensor and \(bytes) for another; the file is damaged")
      }
      sizes[storage.key] = (storage.wholeCount, bytes)
    }
    return sizes
  }
}

extension PickleMachine {
  /// The value of a dictionary's member. Of several with one name, the last, as in Python.
  func member(_ name: String, of value: PickleValue) -> PickleValue? {
    members(of: value)?.last { $0.key.text == name }?.value
  }

  /// The keys and values of a dictionary; `nil` for other values.
  func members(of value: PickleValue) -> [(key: PickleValue, value: PickleValue)]? {
    guard let items = items(value, .dictionary) else { return nil }
    return stride(from: 0, to: items.count - 1, by: 2).map { (items[$0], items[$0 + 1]) }
  }
}

import Tensors

/// Pieces of pickles as bytes, for valid and invalid files.
enum Pickle {
  static let proto: [UInt8] = [0x80, 2]
  static let stop: [UInt8] = [UInt8(ascii: ".")]
  static let mark: [UInt8] = [UInt8(ascii: "(")]
  static let none: [UInt8] = [UInt8(ascii: "N")]

  static func number(_ value: Int, _ width: Int) -> [UInt8] {
    (0..<width).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  static func text(_ text: String) -> [UInt8] {
    [UInt8(ascii: "X")] + number(text.utf8.count, 4) + Array(text.utf8)
  }

  /// As LONG1 with 8 bytes, whatever the number.
  static func int(_ value: Int) -> [UInt8] { [0x8a, 8] + number(value, 8) }

  static func global(_ module: String, _ name: String) -> [UInt8] {
    Array("c\(module)\n\(name)\n".utf8)
  }

  static func tuple(_ items: [[UInt8]]) -> [UInt8] {
    mark + items.flatMap { $0 } + [UInt8(ascii: "t")]
  }

  static func list(_ items: [[UInt8]]) -> [UInt8] {
    [UInt8(ascii: "]")] + mark + items.flatMap { $0 } + [UInt8(ascii: "e")]
  }

  static func dictionary(_ members: [(String, [UInt8])]) -> [UInt8] {
    [UInt8(ascii: "}")] + mark + members.flatMap { text($0.0) + $0.1 } + [UInt8(ascii: "u")]
  }

  static func call(_ module: String, _ name: String, _ arguments: [[UInt8]]) -> [UInt8] {
    global(module, name) + tuple(arguments) + [UInt8(ascii: "R")]
  }

  static func storage(
    _ key: String = "0", kind: String = "FloatStorage", count: Int, view: [UInt8]? = nil
  ) -> [UInt8] {
    tuple(
      [text("storage"), global("torch", kind), text(key), text("cpu"), int(count)]
        + (view.map { [$0] } ?? [])) + [UInt8(ascii: "Q")]
  }

  static func tensor(
    _ storage: [UInt8], offset: Int = 0, _ extents: [Int], _ strides: [Int]
  ) -> [UInt8] {
    call(
      "torch._utils", "_rebuild_tensor_v2",
      [
        storage, int(offset), tuple(extents.map(int)), tuple(strides.map(int)), [0x89],
        call("collections", "OrderedDict", []),
      ])
  }

  static func whole(_ value: [UInt8]) -> [UInt8] { proto + value + stop }
}

/// An entry of a ZIP archive. Its fields are correct unless a test sets them.
struct ZIPSample {
  var name: String
  var bytes: [UInt8]
  var method = 0
  var flags = 0
  var checksum: UInt32?
  /// Sizes and offset in the directory.
  var stored: Int?
  var full: Int?
  var start: Int?
  /// Fields of the local header.
  var ownName: String?
  var ownSize: Int?
  var ownMethod: Int?
  /// Extra fields of the directory.
  var extra: [UInt8] = []

  init(_ name: String, _ bytes: [UInt8]) {
    self.name = name
    self.bytes = bytes
  }
}

/// CRC-32 bit by bit.
func slowChecksum(_ bytes: [UInt8]) -> UInt32 {
  var crc = UInt32.max
  for byte in bytes {
    crc ^= UInt32(byte)
    for _ in 0..<8 { crc = crc & 1 == 0 ? crc >> 1 : (crc >> 1) ^ 0xedb8_8320 }
  }
  return ~crc
}

/// A ZIP archive of entries. `count`, `size` and `start` are the directory's fields in the end
/// record.
func zip(
  _ entries: [ZIPSample], count: Int? = nil, size: Int? = nil, start: Int? = nil, volume: Int = 0,
  between: [UInt8] = [], comment: [UInt8] = []
) -> [UInt8] {
  let number = Pickle.number
  var file: [UInt8] = []
  var directory: [UInt8] = []
  for entry in entries {
    let place = file.count
    let name = Array(entry.name.utf8)
    let own = Array((entry.ownName ?? entry.name).utf8)
    let checksum = number(Int(entry.checksum ?? slowChecksum(entry.bytes)), 4)
    let ownSize = number(entry.ownSize ?? entry.bytes.count, 4)
    file += [0x50, 0x4b, 3, 4] + number(20, 2) + number(entry.flags, 2)
    file += number(entry.ownMethod ?? entry.method, 2) + number(0, 4) + checksum
    file += ownSize + ownSize + number(own.count, 2) + number(0, 2) + own + entry.bytes
    directory += [0x50, 0x4b, 1, 2] + number(20, 2) + number(20, 2) + number(entry.flags, 2)
    directory += number(entry.method, 2) + number(0, 4) + checksum
    directory += number(entry.stored ?? entry.bytes.count, 4)
    directory += number(entry.full ?? entry.bytes.count, 4)
    directory += number(name.count, 2) + number(entry.extra.count, 2) + number(0, 2)
    directory += number(volume, 2) + number(0, 6) + number(entry.start ?? place, 4)
    directory += name + entry.extra
  }
  let place = file.count
  let entryCount = number(count ?? entries.count, 2)
  file += directory + between + [0x50, 0x4b, 5, 6] + number(0, 4) + entryCount + entryCount
  file += number(size ?? directory.count, 4) + number(start ?? place, 4)
  return file + number(comment.count, 2) + comment
}

/// A file in the current format of torch.save.
func torchFile(
  _ value: [UInt8], storages: [(key: String, bytes: [UInt8])] = [], more: [ZIPSample] = []
) -> [UInt8] {
  zip(
    [ZIPSample("archive/data.pkl", Pickle.whole(value))]
      + storages.map { ZIPSample("archive/data/" + $0.key, $0.bytes) }
      + [ZIPSample("archive/byteorder", Array("little".utf8))] + more)
}

/// A file in the format of torch.save before 1.6.
func oldTorchFile(
  _ value: [UInt8], keys: [[UInt8]], storages: [(count: Int, bytes: [UInt8])],
  version: Int = 1001, isLittle: Bool = true
) -> [UInt8] {
  let magic: [UInt8] = [
    0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
  ]
  let facts = Pickle.dictionary([("little_endian", [isLittle ? 0x88 : 0x89])])
  return magic + Pickle.whole(Pickle.int(version)) + Pickle.whole(facts) + Pickle.whole(value)
    + Pickle.whole(Pickle.list(keys))
    + storages.flatMap { Pickle.number($0.count, 8) + $0.bytes }
}

/// Float32 numbers as bytes.
func floatBytes(_ numbers: [Float]) -> [UInt8] {
  numbers.flatMap { Pickle.number(Int($0.bitPattern), 4) }
}

/// A file of float32 tensors, as `diffusion_pytorch_model.bin` is.
func torchFile(_ tensors: [(String, StoredTensor)]) -> [UInt8] {
  let members = tensors.enumerated().map { index, item in
    let shape = item.1.shape
    let strides = shape.extents.indices.map { shape.extents[($0 + 1)...].reduce(1, *) }
    return (
      item.0,
      Pickle.tensor(
        Pickle.storage("\(index)", count: shape.count), shape.extents, strides)
    )
  }
  return torchFile(
    Pickle.dictionary(members),
    storages: tensors.enumerated().map { ("\($0)", floatBytes($1.1.floats())) })
}

package import ModelSources
internal import Support
internal import Tensors

/// Writes a model as a GGUF file for one of the programs that read such files.
package struct GGUFWriter: ModelWriter {
  package init() {}

  package var name: String { "gguf" }
  package var layout: String { "GGUF file" }
  package var profiles: [any OutputProfile] { OutputProfiles.of(name) }
  package var holdsParts: Bool { true }

  package func claims(_ path: String) -> Bool { path.lowercased().hasSuffix(".gguf") }
  package func outputName(stem: String) -> String { stem + ".gguf" }

  /// A tensor of the file.
  private struct Item {
    let name: String
    let source: any WeightSource
    /// Shape and encoding in the source.
    let entry: TensorEntry
    /// Shape and encoding in the file.
    let stored: TensorEntry
    let type: GGMLType
    /// Bytes in the file, without padding.
    let size: Int
    /// Bytes from the start of the file's tensor data.
    let offset: Int

    /// Bytes of memory that encoding the tensor takes.
    var cost: Int { TensorPlace(source: source, name: name).cost + size }
  }

  private static let alignment = 32

  /// - Throws: ``OutputProfileError``, ``GGUFError``, ``SingleFileError``, ``FileError``, errors of
  ///   the weights' source, and `CancellationError`.
  package func write(
    _ model: ModelSource, to path: String, replacing: Bool = false,
    options: WriteOptions = WriteOptions(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    try checkLoadable(model, to: path, options: options)
    let profile = try profile(options)
    let model = profile.fitted(model)
    let sources = try profile.tensors(of: model, options: options)
    let items = try items(of: sources, profile, path: path)
    let metadata = profile.metadata(of: model, tensors: sources)
    let header = header(items, Self.values(model, items, metadata))

    let file = try ReplacingFile(path: path, replacing: replacing)
    try file.write(header)
    let total = items.reduce(0) { $0 + $1.size }
    var done = 0
    progress(0, total)
    try produceInOrder(costs: items.map(\.cost)) { index in
      let item = items[index]
      var tensor = try item.source.tensor(item.name)
      guard tensor.entry == item.entry else {
        throw GGUFError.changed(path: path, name: item.name)
      }
      if case .plain(let kind) = item.stored.encoding, item.stored.encoding != tensor.encoding {
        tensor = tensor.converted(to: kind)
      }
      if let fault = item.type.fault(in: tensor) {
        throw GGUFError.tensor(
          path: path, name: item.name, found: fault.found, expected: fault.expected)
      }
      return item.type.bytes(of: tensor)
    } consume: { index, bytes in
      let item = items[index]
      try file.write(bytes)
      try file.write([UInt8](repeating: 0, count: Self.padding(item.size)))
      done += item.size
      progress(done, total)
    }
    try file.commit()
  }

  private static func padding(_ size: Int) -> Int { (alignment - size % alignment) % alignment }

  private func items(
    of sources: [any WeightSource], _ profile: any OutputProfile, path: String
  ) throws -> [Item] {
    var items: [Item] = []
    var offset = 0
    for source in sources {
      for name in source.names {
        guard let entry = source.entry(name) else { continue }
        let stored = profile.stored(entry)
        guard let type = GGMLType.storing(stored.encoding), type.dividesRows(of: entry.shape) else {
          throw GGUFError.unsupportedEncoding(path: path, name: name, encoding: entry.encoding)
        }
        let size = entry.shape.count / type.blockSize * type.blockBytes
        items.append(
          Item(
            name: name, source: source, entry: entry, stored: stored, type: type, size: size,
            offset: offset))
        offset += size + Self.padding(size)
      }
    }
    return items
  }

  // MARK: - Header

  private static func values(
    _ model: ModelSource, _ items: [Item], _ metadata: JSONObject
  ) -> [(String, GGUFValue)] {
    let architecture = Architectures.of(model.components).nameInGGUF
    // The type that takes the most bytes of the file.
    var bytes: [UInt32: Int] = [:]
    for item in items {
      if let fileType = item.type.fileType { bytes[fileType, default: 0] += item.size }
    }
    let most = bytes.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key
    let fileType = most.map { [("general.file_type", GGUFValue.unsigned($0))] } ?? []
    let values: [(String, GGUFValue)] =
      [
        ("general.architecture", .string(architecture)),
        ("general.name", .string(PathParts(model.location).name)),
        ("general.type", .string("model")),
      ] + fileType + [
        ("general.quantization_version", .unsigned(2)),
        ("general.quantized_by", .string("Decant")),
        (CarriedConfig.key, .string(CarriedConfig.text(of: model))),
      ]
    return values + metadata.members.map { ($0.key, GGUFValue($0.value)) }
  }

  private func header(_ items: [Item], _ values: [(String, GGUFValue)]) -> [UInt8] {
    var output = GGUFOutput()
    output.bytes += GGUFArchive.magic
    output.number(UInt32(3))
    output.number(UInt64(items.count))
    output.number(UInt64(values.count))
    for (key, value) in values { output.value(key, value) }
    for item in items {
      output.string(item.name)
      output.number(UInt32(item.stored.shape.rank))
      for extent in item.stored.shape.extents.reversed() { output.number(UInt64(extent)) }
      output.number(item.type.id)
      output.number(UInt64(item.offset))
    }
    output.bytes += [UInt8](repeating: 0, count: Self.padding(output.bytes.count))
    return output.bytes
  }
}

/// A value of a GGUF header, of the types that Decant writes.
enum GGUFValue {
  case string(String)
  case unsigned(UInt32)
  case integers([Int32])

  /// A list as 32-bit integers, an integer as an unsigned one, and everything else as text.
  init(_ value: JSONValue) {
    if let list = value.array {
      self = .integers(list.map { Int32(clamping: $0.integer ?? 0) })
    } else if let integer = value.integer {
      self = .unsigned(UInt32(clamping: integer))
    } else {
      self = .string(value.string ?? value.text())
    }
  }
}

/// The bytes of a GGUF header.
struct GGUFOutput {
  var bytes: [UInt8] = []

  mutating func number(_ value: some FixedWidthInteger) { bytes.appendLittleEndian(value) }

  mutating func string(_ text: String) {
    number(UInt64(text.utf8.count))
    bytes += Array(text.utf8)
  }

  mutating func value(_ key: String, _ value: GGUFValue) {
    string(key)
    switch value {
    case .string(let text):
      number(UInt32(8))
      string(text)
    case .unsigned(let value):
      number(UInt32(4))
      number(value)
    case .integers(let values):
      number(UInt32(9))
      number(UInt32(5))
      number(UInt64(values.count))
      for value in values { number(value) }
    }
  }
}

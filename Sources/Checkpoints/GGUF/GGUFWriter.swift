package import ModelSources
internal import Support
package import Tensors

/// Writes a model as a GGUF file for one of the programs that read such files.
package struct GGUFWriter: ModelWriter {
  package init() {}

  package var name: String { "gguf" }
  package var layout: String { "GGUF file" }
  package var choices: Set<WriteOption> { [.program] }
  package var programs: [String] { GGUFProfiles.all.map(\.name) }
  package var holdsParts: Bool { true }

  package func claims(_ path: String) -> Bool { path.lowercased().hasSuffix(".gguf") }

  /// 8-bit codes become Q8_0 and 4-bit codes Q4_0, which have a scale for 32 of them.
  package func accepted(_ encoding: TensorEncoding, options: WriteOptions) -> TensorEncoding? {
    if encoding == .int8 { return .symmetric(bits: 8, groupSize: 32) }
    return GGMLType.storing(encoding) == nil ? nil : encoding
  }

  package func holds(
    _ entry: TensorEntry, of tensor: String, in component: String, options: WriteOptions
  ) -> Bool {
    guard entry.encoding.isQuantized else { return true }
    return GGUFProfiles.named(options.program)?.holdsCodes(entry.shape, of: tensor, in: component)
      ?? false
  }

  /// A tensor as it will lie in the file.
  private struct Item {
    let name: String
    let source: any WeightSource
    let entry: TensorEntry
    /// Plain tensors may be widened on the way.
    let encoding: TensorEncoding
    let type: GGMLType
    let shape: Shape
    let size: Int
    let offset: Int

    /// Bytes that making it takes.
    var cost: Int { TensorPlace(source: source, name: name).cost + size }
  }

  private static let alignment = 32

  /// - Throws: ``GGUFError``, ``SingleFileError``, ``FileError``, what the weights' source throws,
  ///   and `CancellationError`.
  package func write(
    _ model: ModelSource, to path: String, replacing: Bool = false,
    options: WriteOptions = WriteOptions(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    guard let profile = GGUFProfiles.named(options.program) else {
      throw GGUFError.malformed(
        path: path, what: "the program", found: options.program ?? "",
        expected: programs.joined(separator: " or "))
    }
    if let found = profile.refusal(model) {
      let others = GGUFProfiles.all.filter { $0.refusal(model) == nil }.map(\.name)
      throw GGUFError.notLoadable(
        path: path, program: profile.title, found: found, others: others)
    }
    let items = try items(of: model, profile, path: path)
    let header = header(items, Self.values(model, items, profile))

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
      if case .plain(let kind) = item.encoding, item.encoding != tensor.encoding {
        tensor = tensor.converted(to: kind)
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
    of model: ModelSource, _ profile: any GGUFProfile, path: String
  ) throws -> [Item] {
    var items: [Item] = []
    var offset = 0
    for source in try profile.sources(of: model) {
      for name in source.names {
        guard let entry = source.entry(name) else { continue }
        var encoding = entry.encoding
        if case .plain(let kind) = encoding {
          encoding = .plain(profile.storedKind(kind, entry.shape))
        }
        guard let type = GGMLType.storing(encoding),
          !encoding.isQuantized || entry.shape.rowLength % type.blockSize == 0
        else {
          throw GGUFError.unsupportedEncoding(path: path, name: name, encoding: entry.encoding)
        }
        let size = entry.shape.count / type.blockSize * type.blockBytes
        items.append(
          Item(
            name: name, source: source, entry: entry, encoding: encoding, type: type,
            shape: profile.storedShape(entry), size: size, offset: offset))
        offset += size + Self.padding(size)
      }
    }
    return items
  }

  // MARK: - Header

  private static func values(
    _ model: ModelSource, _ items: [Item], _ profile: any GGUFProfile
  ) -> [(String, GGUFValue)] {
    let architecture = Architectures.of(model.components).nameInGGUF
    // llama.cpp's numbers for what most of a file is.
    let types = ["F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "BF16": 32]
    var bytes: [String: Int] = [:]
    for item in items { bytes[item.type.name, default: 0] += item.size }
    let most = bytes.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? "F16"
    var carried = model
    carried.components = model.components.filter { profile.holds(component: $0.name) }
    var values: [(String, GGUFValue)] = [
      ("general.architecture", .string(architecture)),
      ("general.name", .string(model.location.split(separator: "/").last.map(String.init) ?? "")),
      ("general.type", .string("model")),
      ("general.file_type", .unsigned(UInt32(types[most] ?? 1))),
      ("general.quantization_version", .unsigned(2)),
      ("general.quantized_by", .string("Decant")),
      (CarriedConfig.key, .string(CarriedConfig.text(of: carried))),
    ]
    for item in items where item.shape != item.entry.shape {
      values.append(
        (
          GGUFFile.originalShape + item.name,
          .integers(item.entry.shape.extents.map { Int32($0) })
        ))
    }
    return values
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
      output.number(UInt32(item.shape.rank))
      for extent in item.shape.extents.reversed() { output.number(UInt64(extent)) }
      output.number(item.type.id)
      output.number(UInt64(item.offset))
    }
    output.bytes += [UInt8](repeating: 0, count: Self.padding(output.bytes.count))
    return output.bytes
  }
}

/// A value of a GGUF header, of the kinds that are written.
enum GGUFValue {
  case string(String)
  case unsigned(UInt32)
  case integers([Int32])
}

/// The bytes of a GGUF header.
struct GGUFOutput {
  var bytes: [UInt8] = []

  mutating func number(_ value: some FixedWidthInteger) {
    var rest = value.littleEndian
    for _ in 0..<value.bitWidth / 8 {
      bytes.append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

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

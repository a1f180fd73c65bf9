package import ModelSources
package import Support
package import Tensors

/// Why weights cannot be written as safetensors.
package enum SafetensorsWriteError: RemediableError, Equatable {
  case unsupportedEncoding(path: String, tensor: String, encoding: TensorEncoding)
  case duplicateName(path: String, tensor: String, sources: [String])
  case reservedName(path: String, tensor: String)
  case headerTooLong(path: String, limit: Int)
  /// A tensor whose shape or encoding differs from the source's entry.
  case changed(path: String, tensor: String, announced: TensorEntry, found: TensorEntry)

  package var description: String {
    switch self {
    case .unsupportedEncoding(let path, let tensor, let encoding):
      "\(path): tensor '\(shown(tensor))' is \(encoding.name), which safetensors cannot "
        + "hold"
    case .duplicateName(let path, let tensor, let sources):
      "\(path): tensor '\(shown(tensor))' comes from \(sources.joined(separator: " and from ")), "
        + "expected one of them"
    case .reservedName(let path, let tensor):
      "\(path): a tensor has the name '\(tensor)', which safetensors reserves"
    case .headerTooLong(let path, let limit):
      "\(path): the header would take more than the \(limit) bytes that safetensors allows"
    case .changed(let path, let tensor, let announced, let found):
      "\(path): tensor '\(shown(tensor))' is \(found.encoding.name) \(found.shape), expected "
        + "\(announced.encoding.name) \(announced.shape)"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .unsupportedEncoding:
      .either([
        .choose(.type, [TensorEncoding.plain(.f16).name]), .choose(.outputFormat, ["decant"]),
      ])
    default: nil
    }
  }
}

/// Writes the weights of `source` as one safetensors file, completely or not at all.
///
/// Reads each tensor once, with few tensors in memory at a time. The bytes are those of the
/// safetensors package for Python: tensors sorted by the width of their kind and then by name, and
/// a header padded to a multiple of 8 bytes.
///
/// - Parameters:
///   - metadata: strings for `__metadata__`. `format: pt` is always added, because older versions of
///     transformers refuse files without it.
///   - replacing: whether a file at `path` may be replaced.
///   - progress: called after each tensor with the bytes written so far and in total.
/// - Throws: ``SafetensorsWriteError``, ``FileError``, errors of the source, and
///   `CancellationError` between two tensors.
package func writeSafetensors(
  _ source: some WeightSource, metadata: [String: String] = [:], to path: String,
  replacing: Bool = false, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
) throws {
  try writeSafetensors(
    [source], metadata: metadata, to: path, replacing: replacing, progress: progress)
}

/// Writes the weights of all `sources` as one safetensors file. No two may have a name in common.
package func writeSafetensors(
  _ sources: [any WeightSource], metadata: [String: String] = [:], to path: String,
  replacing: Bool = false, progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
) throws {
  let plan = try SafetensorsPlan(sources, metadata: metadata, path: path)
  let file = try ReplacingFile(path: path, replacing: replacing)
  try plan.write(to: file, progress: progress)
  try file.commit()
}

/// The complete header of a safetensors file, made and checked before anything is written.
struct SafetensorsPlan {
  private struct Item {
    let name: String
    let entry: TensorEntry
    let kind: ElementKind
    let source: any WeightSource
  }

  private let path: String
  private let items: [Item]
  private let header: [UInt8]
  /// The total bytes of all tensors.
  let byteCount: Int

  init(
    _ sources: [any WeightSource], metadata: [String: String], path: String
  ) throws(SafetensorsWriteError) {
    var items: [Item] = []
    var owners: [String: String] = [:]
    for source in sources {
      for name in source.names {
        guard let entry = source.entry(name) else { continue }
        guard case .plain(let kind) = entry.encoding, kind.byteCount(of: entry.shape.count) != nil
        else {
          throw .unsupportedEncoding(path: path, tensor: name, encoding: entry.encoding)
        }
        if name == SafetensorsHeader.metadataName {
          throw .reservedName(path: path, tensor: name)
        }
        if let owner = owners.updateValue(source.location, forKey: name) {
          throw .duplicateName(path: path, tensor: name, sources: [owner, source.location])
        }
        items.append(Item(name: name, entry: entry, kind: kind, source: source))
      }
    }
    let rank = Dictionary(
      uniqueKeysWithValues: ElementKind.allCases.enumerated().map { ($0.element, $0.offset) })
    items.sort { left, right in
      if left.kind != right.kind {
        return rank[left.kind, default: 0] > rank[right.kind, default: 0]
      }
      return left.name.utf8.lexicographicallyPrecedes(right.name.utf8)
    }
    self.path = path
    self.items = items
    byteCount = items.reduce(0) { $0 + $1.entry.byteCount }
    let limit = SafetensorsHeader.lengthLimit
    // Checks the total length of the names before the JSON is built.
    guard items.reduce(0, { $0 + $1.name.utf8.count }) <= limit else {
      throw .headerTooLong(path: path, limit: limit)
    }
    header = Self.header(items, metadata: metadata)
    guard header.count <= limit else { throw .headerTooLong(path: path, limit: limit) }
  }

  /// The JSON, padded with spaces to a multiple of 8 bytes so that the data is aligned.
  private static func header(_ items: [Item], metadata: [String: String]) -> [UInt8] {
    var strings = JSONObject([("format", .string(metadata["format"] ?? "pt"))])
    for (name, text) in metadata.sorted(by: { $0.key < $1.key }) { strings[name] = .string(text) }
    var members: [(String, JSONValue)] = [(SafetensorsHeader.metadataName, .object(strings))]
    var position = 0
    for item in items {
      let end = position + item.entry.byteCount
      members.append(
        (
          item.name,
          [
            "dtype": .string(item.kind.rawValue),
            "shape": .integers(item.entry.shape.extents),
            "data_offsets": [.integer(position), .integer(end)],
          ]
        ))
      position = end
    }
    var bytes = [UInt8](JSONValue.object(JSONObject(members)).text().utf8)
    let padding = (8 - bytes.count % 8) % 8
    bytes.append(contentsOf: [UInt8](repeating: UInt8(ascii: " "), count: padding))
    return bytes
  }

  func write(to file: ReplacingFile, progress: (_ done: Int, _ total: Int) -> Void) throws {
    try file.write([UInt8](littleEndian: UInt64(header.count)))
    try file.write(header)
    var done = 0
    progress(done, byteCount)
    let places = items.map { TensorPlace(source: $0.source, name: $0.name) }
    try produceInOrder(costs: places.map(\.cost)) { index in
      try places[index].source.tensor(places[index].name)
    } consume: { index, tensor in
      let item = items[index]
      guard tensor.entry == item.entry else {
        throw SafetensorsWriteError.changed(
          path: path, tensor: item.name, announced: item.entry, found: tensor.entry)
      }
      for part in tensor.parts { try file.write(part) }
      done += tensor.byteCount
      progress(done, byteCount)
    }
  }
}

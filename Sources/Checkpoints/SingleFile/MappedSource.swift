import ModelSources
import Support
import Tensors

/// A weight source that renames tensors of another, and reshapes, slices, transposes or
/// concatenates them where two layouts differ in more than names.
struct MappedSource: WeightSource {
  /// How a tensor is computed from tensors of the base.
  enum Origin: Sendable {
    /// The tensor of that name with another shape of equal size, such as a 1x1 convolution as a
    /// matrix.
    case tensor(String, shape: Shape)
    /// A range of rows of the tensor of that name.
    case rows(String, Range<Int>)
    /// The transposed matrix of that name.
    case transposed(String)
    /// The tensors of those names, concatenated along the rows.
    case stacked([String])
  }

  let location: String
  let names: [String]
  private let base: any WeightSource
  private let origins: [String: (origin: Origin, entry: TensorEntry)]
  private let nameOfAbsent: @Sendable (String) -> String?

  /// - Parameter nameOfAbsent: the name in the base of a tensor that is not in `list`; `nil` where it
  ///   is unknown.
  /// - Throws: ``SingleFileError`` for a duplicate name, or a tensor that cannot be computed so.
  init(
    _ base: any WeightSource, location: String? = nil, _ list: [(name: String, origin: Origin)],
    nameOfAbsent: @escaping @Sendable (String) -> String? = { _ in nil }
  ) throws(SingleFileError) {
    self.base = base
    self.location = location ?? base.location
    self.nameOfAbsent = nameOfAbsent
    var origins: [String: (origin: Origin, entry: TensorEntry)] = [:]
    for (name, origin) in list {
      let entry = try Self.entry(of: origin, in: base, name: name)
      if let other = origins.updateValue((origin, entry), forKey: name) {
        throw .collision(
          path: base.location, tensor: name, first: Self.source(of: other.origin),
          second: Self.source(of: origin))
      }
    }
    names = list.map(\.name)
    self.origins = origins
  }

  private static func source(of origin: Origin) -> String {
    switch origin {
    case .tensor(let name, _), .rows(let name, _), .transposed(let name): name
    case .stacked(let names): names.first ?? ""
    }
  }

  private static func entry(
    of origin: Origin, in base: any WeightSource, name: String
  ) throws(SingleFileError) -> TensorEntry {
    func found(_ name: String) throws(SingleFileError) -> TensorEntry {
      guard let entry = base.entry(name) else {
        throw .missing(path: base.location, tensor: name)
      }
      return entry
    }
    switch origin {
    case .tensor(let source, let shape):
      return TensorEntry(shape: shape, encoding: try found(source).encoding)
    case .rows(let source, let rows):
      let entry = try found(source)
      guard rows.upperBound <= entry.shape.rows, entry.shape.rank > 0 else {
        throw .misshapen(
          path: base.location, tensor: source, found: entry.shape,
          expected: "at least \(rows.upperBound) rows")
      }
      return TensorEntry(
        shape: Shape([rows.count] + entry.shape.extents.dropFirst()), encoding: entry.encoding)
    case .transposed(let source):
      let entry = try found(source)
      guard entry.shape.rank == 2, entry.encoding.isWidenable else {
        throw .misshapen(
          path: base.location, tensor: source, found: entry.shape, expected: "a matrix of numbers")
      }
      // Codes share scales along rows, which become columns.
      return TensorEntry(
        shape: [entry.shape[1], entry.shape[0]],
        encoding: entry.encoding.isQuantized ? .plain(.f32) : entry.encoding)
    case .stacked(let sources):
      let entries = try sources.map(found)
      guard let first = entries.first, Set(entries.map(\.encoding)).count == 1,
        Set(entries.map { $0.shape.extents.dropFirst() }).count == 1
      else {
        let found = zip(sources, entries).map { "'\(shown($0))' is \($1.text)" }
        throw .unsupported(
          path: base.location,
          found: "tensor \(listed(found)), expected one encoding and row length for "
            + "'\(shown(name))', which holds them all")
      }
      if first.encoding.hasOneScale {
        throw .unsupported(
          path: base.location,
          found: "tensor '\(shown(sources[0]))' is \(first.encoding.name), which has one scale; "
            + "'\(shown(name))' would need \(sources.count), one for each tensor that it holds")
      }
      let rows = entries.reduce(0) { $0 + $1.shape.rows }
      return TensorEntry(
        shape: Shape([rows] + first.shape.extents.dropFirst()), encoding: first.encoding)
    }
  }

  func entry(_ name: String) -> TensorEntry? { origins[name]?.entry }

  func storedName(_ name: String) -> String {
    guard let (origin, _) = origins[name] else {
      return nameOfAbsent(name).map(base.storedName) ?? name
    }
    return base.storedName(Self.source(of: origin))
  }

  func tensor(_ name: String) throws -> StoredTensor {
    guard let (origin, entry) = origins[name] else {
      throw absent(name)
    }
    let parts: [ByteSlice]
    switch origin {
    case .tensor(let source, _): parts = try base.tensor(source).parts
    case .rows(let source, let rows):
      parts = try base.tensor(source).rows(rows).parts
    case .transposed(let source):
      let stored = try base.tensor(source)
      let tensor = stored.encoding.isQuantized ? StoredTensor(stored.widened()) : stored
      parts = tensor.parts.map { part in
        ByteSlice(transposedBytes(part, rows: tensor.shape[0], columns: tensor.shape[1]))
      }
    case .stacked(let sources):
      let tensors = try sources.map { try base.tensor($0) }
      parts = entry.encoding.partNames.indices.map { index in
        ByteSlice(tensors.flatMap { $0.parts[index].array })
      }
    }
    return StoredTensor(shape: entry.shape, encoding: entry.encoding, parts: parts)
  }
}

/// The bytes of a transposed row-major matrix, for elements of any width.
private func transposedBytes(_ bytes: ByteSlice, rows: Int, columns: Int) -> [UInt8] {
  guard rows > 0, columns > 0 else { return [] }
  let width = bytes.count / (rows * columns)
  let source = bytes.array
  var result = [UInt8](repeating: 0, count: source.count)
  // Square blocks keep reads and writes in the cache.
  let side = 32
  for top in stride(from: 0, to: rows, by: side) {
    for left in stride(from: 0, to: columns, by: side) {
      for row in top..<min(top + side, rows) {
        for column in left..<min(left + side, columns) {
          let from = (row * columns + column) * width
          let to = (column * rows + row) * width
          for byte in 0..<width { result[to + byte] = source[from + byte] }
        }
      }
    }
  }
  return result
}

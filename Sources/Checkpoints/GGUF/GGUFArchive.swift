import ModelSources
import Support
import Tensors

/// Reads GGUF files of versions 2 and 3, the container format of llama.cpp, which
/// stable-diffusion.cpp and ComfyUI-GGUF use.
struct GGUFArchive: ArchiveFormat {
  var kind: String { "GGUF file" }

  static let magic = [UInt8]("GGUF".utf8)

  func recognizes(_ contents: ByteSlice) -> Bool {
    contents.count >= 4 && contents[0..<4].array == Self.magic
  }

  func open(_ path: String) throws -> Archive {
    let contents: ByteSlice
    do { contents = try ByteSlice.mapping(path) } catch { throw GGUFError.unreadable(error) }
    let file = try GGUFFile(contents, path: path)
    return Archive(weights: file, metadata: file.metadata, kind: kind)
  }
}

/// The tensors of a mapped GGUF file.
struct GGUFFile: WeightSource {
  private struct Place {
    let type: GGMLType
    let entry: TensorEntry
    let bytes: Range<Int>
  }

  let location: String
  let metadata: JSONObject
  let names: [String]
  private let contents: ByteSlice
  private let places: [String: Place]

  init(_ contents: ByteSlice, path: String) throws(GGUFError) {
    var input = GGUFInput(contents, path: path)
    guard try input.bytes(4, "the magic") == GGUFArchive.magic else {
      throw .version(path: path, found: "that does not begin with GGUF")
    }
    let version = try input.unsigned(4, "the version")
    guard version == 2 || version == 3 else {
      let isBig = version & 0xffff == 0 && version != 0
      throw .version(
        path: path, found: isBig ? "of big-endian numbers" : "of version \(version)")
    }
    // Each tensor takes at least 24 bytes of the header, each value 13.
    let tensorCount = try input.count(
      "the number of tensors", limit: min(TensorLimits.count, contents.count / 24))
    let valueCount = try input.count(
      "the number of values", limit: min(GGUFInput.Limits.values, contents.count / 13))
    var metadata: JSONObject = [:]
    for _ in 0..<valueCount {
      let key = try input.string("a key", limit: TextLimits.name)
      let type = UInt32(try input.unsigned(4, "the type of '\(shown(key))'"))
      guard metadata[key] == nil else { throw .duplicateName(path: path, name: key) }
      metadata[key] = try input.value(key, type: type)
    }
    let alignment = metadata["general.alignment"]?.integer ?? 32
    guard alignment > 0, alignment <= 1 << 16, alignment & (alignment - 1) == 0 else {
      throw .malformed(
        path: path, what: "'general.alignment'", found: "\(alignment)",
        expected: "a power of two up to 65536")
    }

    var names: [String] = []
    var places: [String: (type: GGMLType, shape: Shape, offset: Int)] = [:]
    let profiles = OutputProfiles.of(GGUFWriter().name)
    for _ in 0..<tensorCount {
      let (name, place) = try Self.tensor(
        &input, path: path, metadata: metadata, profiles: profiles)
      guard places.updateValue(place, forKey: name) == nil else {
        throw .duplicateName(path: path, name: name)
      }
      names.append(name)
    }
    let start = (input.position + alignment - 1) / alignment * alignment
    var end = start
    var placed: [String: Place] = [:]
    for name in names.sorted(by: { (places[$0]?.offset ?? 0) < (places[$1]?.offset ?? 0) }) {
      guard let (type, shape, offset) = places[name] else { continue }
      guard offset % alignment == 0 else {
        throw .tensor(
          path: path, name: name, found: "begins at byte \(offset) of the data",
          expected: "a multiple of \(alignment)")
      }
      let size = shape.count / type.blockSize * type.blockBytes
      let (begin, overflow) = start.addingReportingOverflow(offset)
      guard !overflow, begin >= end else {
        throw .tensor(
          path: path, name: name, found: "begins at byte \(offset) of the data, within another",
          expected: "tensors that do not overlap")
      }
      guard begin <= contents.count, size <= contents.count - begin else {
        throw .beyondFile(
          path: path, name: name, begin: begin, size: size, bytes: contents.count)
      }
      end = begin + size
      placed[name] = Place(
        type: type, entry: TensorEntry(shape: shape, encoding: type.encoding(for: shape)),
        bytes: begin..<end)
    }
    location = path
    self.metadata = metadata
    self.names = names
    self.contents = contents
    self.places = placed
  }

  /// Reads a tensor's name, type, shape in PyTorch's order, and offset.
  ///
  /// - Parameter profiles: those of GGUF files, which may store shapes in the metadata.
  private static func tensor(
    _ input: inout GGUFInput, path: String, metadata: JSONObject, profiles: [any OutputProfile]
  ) throws(GGUFError) -> (String, (type: GGMLType, shape: Shape, offset: Int)) {
    let name = try input.string("a tensor's name", limit: TextLimits.tensorName)
    let rank = try input.unsigned(4, "the extents of '\(shown(name))'")
    guard rank <= 4, !name.isEmpty else {
      throw .tensor(
        path: path, name: name, found: "has \(rank) extents", expected: "a name and at most 4")
    }
    var extents: [Int] = []
    for _ in 0..<rank {
      extents.append(try input.count("an extent of '\(shown(name))'", limit: 1 << 40))
    }
    let number = UInt32(try input.unsigned(4, "the type of '\(shown(name))'"))
    let offset = try input.count("the offset of '\(shown(name))'", limit: 1 << 50)
    guard let type = GGMLType.all.first(where: { $0.id == number }) else {
      throw .unsupportedType(
        path: path, name: name, type: number, known: GGMLType.all.map(\.name))
    }
    guard let stored = Shape(checking: extents.reversed()),
      // The limit keeps the products below from overflowing.
      stored.count <= input.contents.count.multipliedReportingOverflow(by: 8).partialValue,
      (extents.first ?? 1) % type.blockSize == 0
    else {
      throw .tensor(
        path: path, name: name, found: "is \(shown("\(extents)")) of \(type.name)",
        expected: "extents that the file can hold, the first a multiple of \(type.blockSize)")
    }
    var shape = stored
    let original = profiles.lazy.compactMap {
      $0.originalExtents(of: name, metadata: metadata)
    }.first
    if let original {
      let list = original.array?.compactMap(\.integer) ?? []
      guard let restored = Shape(checking: list), restored.count == stored.count,
        list.count == original.array?.count
      else {
        throw .tensor(
          path: path, name: name,
          found: "is \(stored) with the original shape \(shown(original.text()))",
          expected: "an original shape of \(stored.count) numbers")
      }
      shape = restored
    }
    return (name, (type, shape, offset))
  }

  func entry(_ name: String) -> TensorEntry? { places[name]?.entry }

  func tensor(_ name: String) throws -> StoredTensor {
    guard let place = places[name] else {
      throw absent(name)
    }
    try contents.checkUnchanged()
    let bytes = contents.window(place.bytes)
    return StoredTensor(
      shape: place.entry.shape, encoding: place.entry.encoding,
      parts: place.type.parts(bytes, shape: place.entry.shape))
  }
}

package import ModelSources
package import Support
private import Synchronization
internal import Tensors

/// An open `.decant` file.
///
/// Opening verifies header, footer and manifest. Reading a tensor verifies its regions. An uncoded
/// tensor is used in place in the mapped file; a coded tensor is decoded at each reading.
package final class PackfileReader: Sendable {
  package let location: String
  package let manifest: Manifest
  /// Bytes of the whole file.
  package var byteCount: Int { contents.count }
  /// The offset at which the regions end and the manifest begins.
  let manifestOffset: Int
  let contents: ByteSlice
  /// Offsets of the verified uncoded regions.
  private let verified = Mutex<Set<Int>>([])

  /// Opens the file at `path`. The time depends on the size of the manifest only.
  ///
  /// - Throws: ``FileError`` or ``PackfileError``.
  package convenience init(path: String) throws {
    try self.init(contents: .mapping(path), location: path)
  }

  /// Opens a file from its contents.
  package init(contents: ByteSlice, location: String) throws(PackfileError) {
    let range = try Frame.manifest(of: contents, location)
    manifest = try Manifest(
      parsing: contents[range], regionsEnd: range.lowerBound, location)
    manifestOffset = range.lowerBound
    self.contents = contents
    self.location = location
  }

  /// The results of the model's verification; `nil` where it was not verified.
  package var parity: JSONObject? { manifest.parity }

  /// The model. Small files are read now, weights later.
  package func model() throws(PackfileError) -> ModelSource {
    let marks = DefaultMarks(among: manifest.provenance)
    var files: [ModelSource.File] = []
    for file in manifest.files {
      files.append(
        ModelSource.File(
          path: file.path, bytes: try bytes(of: file.region, file.place),
          isDefault: marks.hasFile(file.path)))
    }
    var model = ModelSource(
      location: location, layout: Packfile.layout, index: manifest.index,
      components: manifest.components.map { component in
        ModelSource.Component(
          name: component.name, className: component.className, config: component.config,
          weights: PackedWeights(self, component))
      },
      scheduler: manifest.scheduler, files: files,
      provenance: DefaultMarks.removed(from: manifest.provenance))
    marks.restore(in: &model)
    return model
  }

  /// The verified bytes of a region, in place or decoded.
  func bytes(of region: Manifest.Region, _ place: String) throws(PackfileError) -> ByteSlice {
    if let coding = region.coding {
      let bytes = try ByteSlice(gathering: region.decodedLength) {
        (append) throws(PackfileError) in
        try decode(region, coding, place) { append($0) }
      }
      try checkPadding(after: region, place)
      return bytes
    }
    let slice = contents.window(region.offset..<region.offset + region.length)
    if verified.withLock({ $0.contains(region.offset) }) { return slice }
    if crc32(of: slice.bytes) != region.crc {
      throw PackfileError(location, .damaged(region: place))
    }
    try checkPadding(after: region, place)
    // An empty region has the offset of the next one, which is not verified by it.
    if region.length > 0 { verified.withLock { _ = $0.insert(region.offset) } }
    return slice
  }

  /// Verifies that the bytes between a region's end and the next multiple of 64 are zero.
  func checkPadding(after region: Manifest.Region, _ place: String) throws(PackfileError) {
    let end = region.offset + region.length
    if contents[end..<Packfile.align(end)].array.contains(where: { $0 != 0 }) {
      throw PackfileError(location, .damagedPadding(region: place))
    }
  }
}

/// The weights of one component of an open file.
private struct PackedWeights: WeightSource {
  private let reader: PackfileReader
  private let component: String
  let names: [String]
  private let tensors: [String: Manifest.PackedTensor]

  init(_ reader: PackfileReader, _ component: Manifest.Component) {
    self.reader = reader
    self.component = component.name
    names = component.tensors.map(\.name)
    tensors = Dictionary(uniqueKeysWithValues: component.tensors.map { ($0.name, $0) })
  }

  var location: String { reader.location }

  func entry(_ name: String) -> TensorEntry? { tensors[name]?.entry }

  func tensor(_ name: String) throws -> StoredTensor {
    guard let tensor = tensors[name] else {
      throw absent(name)
    }
    try reader.contents.checkUnchanged()
    return StoredTensor(
      shape: tensor.entry.shape, encoding: tensor.entry.encoding,
      parts: try tensor.regions.enumerated().map { index, region in
        try reader.bytes(of: region, tensor.place(index, in: component))
      })
  }
}

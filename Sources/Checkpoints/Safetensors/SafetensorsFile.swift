internal import ModelSources
package import Support
package import Tensors

/// The tensors of a mapped safetensors file. The memory of a tensor's pages is released with the
/// tensor.
package struct SafetensorsFile: WeightSource {
  package let path: String
  /// The strings in the header's `__metadata__`.
  package let metadata: [String: String]
  /// The tensors' names, in the order of their bytes in the file.
  package let names: [String]
  private let contents: ByteSlice
  private let places: [String: (entry: TensorEntry, bytes: Range<Int>)]

  /// Opens the file and checks its header. Reads no tensors.
  package init(path: String) throws(SafetensorsError) {
    let contents: ByteSlice
    do { contents = try ByteSlice.mapping(path) } catch { throw .unreadable(error) }
    try self.init(contents, path: path)
  }

  /// Opens a file from its contents. `path` is its name in messages.
  package init(_ contents: ByteSlice, path: String) throws(SafetensorsError) {
    let header = try SafetensorsHeader(contents, path: path)
    self.path = path
    self.contents = contents
    metadata = header.metadata
    names = header.items.map(\.name)
    var places: [String: (entry: TensorEntry, bytes: Range<Int>)] = [:]
    places.reserveCapacity(names.count)
    for item in header.items {
      places[item.name] = (
        TensorEntry(shape: item.shape, encoding: .plain(item.kind)),
        header.dataStart + item.begin..<header.dataStart + item.end
      )
    }
    self.places = places
  }

  package var location: String { path }

  package func entry(_ name: String) -> TensorEntry? { places[name]?.entry }

  /// The tensor, in place in the mapped file.
  ///
  /// - Throws: ``WeightError`` where no tensor has the name, and ``FileError`` for a file that
  ///   changed after it was opened.
  package func tensor(_ name: String) throws -> StoredTensor {
    guard let place = places[name] else {
      throw absent(name)
    }
    try contents.checkUnchanged()
    return StoredTensor(
      shape: place.entry.shape, encoding: place.entry.encoding,
      parts: [contents.window(place.bytes)])
  }
}

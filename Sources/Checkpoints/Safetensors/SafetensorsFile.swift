internal import ModelSources
package import Support
package import Tensors

/// A safetensors file, mapped: tensors are read when they are asked for, and the memory that their
/// pages take is given back when nobody holds them.
package struct SafetensorsFile: WeightSource {
  package let path: String
  /// The strings of the header's `__metadata__`.
  package let metadata: [String: String]
  /// In the order of their bytes in the file.
  package let names: [String]
  private let contents: ByteSlice
  private let places: [String: (entry: TensorEntry, bytes: Range<Int>)]

  /// Opens the file and checks the whole of its header; no tensor is read.
  ///
  /// - Throws: ``SafetensorsError``, a case for each way in which the file can be wrong.
  package init(path: String) throws(SafetensorsError) {
    let contents: ByteSlice
    do { contents = try ByteSlice.mapping(path) } catch { throw .unreadable(error) }
    try self.init(contents, path: path)
  }

  /// A file that lies in `contents`; messages call it `path`.
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

  /// The tensor as it lies in the file.
  ///
  /// - Throws: ``WeightError`` when there is none of that name.
  package func tensor(_ name: String) throws -> StoredTensor {
    guard let place = places[name] else {
      throw absent(name)
    }
    return StoredTensor(
      shape: place.entry.shape, encoding: place.entry.encoding,
      parts: [contents.window(place.bytes)])
  }
}

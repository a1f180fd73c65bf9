package import ModelSources
package import Support

/// A file of named tensors, whatever they belong to: names are those of who wrote it.
package struct Archive: Sendable {
  package let weights: any WeightSource
  /// What the file says of itself beside its tensors: strings of a safetensors header, values of a
  /// GGUF file.
  package let metadata: JSONObject
  /// What messages call it: `safetensors file`.
  package let kind: String

  package init(weights: any WeightSource, metadata: JSONObject = [:], kind: String) {
    self.weights = weights
    self.metadata = metadata
    self.kind = kind
  }
}

/// A kind of file that holds named tensors. One file that conforms to this, and one line in
/// ``Archives/all``.
protocol ArchiveFormat: Sendable {
  /// What messages call the file: `safetensors file`.
  var kind: String { get }

  /// Whether a file looks like one of this kind, damaged or not, by its contents.
  func recognizes(_ contents: ByteSlice) -> Bool

  /// Opens the file and checks everything but the tensors' numbers, which are read when they are
  /// asked for.
  func open(_ path: String) throws -> Archive
}

/// The kinds of files that hold named tensors, a line each.
package enum Archives {
  static let all: [any ArchiveFormat] = [
    SafetensorsArchive(),
    TorchArchive(),
    GGUFArchive(),
  ]

  /// The kind of the file at `path`; `nil` where there is no such file, or one of another kind.
  static func format(of path: String) -> (any ArchiveFormat)? {
    guard !isFolder(path), let contents = try? ByteSlice.mapping(path) else { return nil }
    return all.first { $0.recognizes(contents) }
  }

  /// The tensors of the file at `path`.
  ///
  /// - Throws: ``LayoutError`` for a file of no kind that is known, or what its kind throws.
  package static func open(_ path: String) throws -> Archive {
    guard let format = format(of: path) else {
      throw LayoutError.unknown(path, readable: all.map(\.kind))
    }
    return try format.open(path)
  }
}

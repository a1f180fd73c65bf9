package import ModelSources
package import Support

/// The contents of a file of named tensors, under the names of the program that wrote it.
package struct Archive: Sendable {
  package let weights: any WeightSource
  /// Facts beside the tensors: the metadata of a safetensors header, the values of a GGUF header.
  package let metadata: JSONObject
  /// The file's kind in messages: `safetensors file`.
  package let kind: String
  /// What reading quantized weights changed.
  package let changes: [ModelChange]

  package init(
    weights: any WeightSource, metadata: JSONObject = [:], kind: String,
    changes: [ModelChange] = []
  ) {
    self.weights = weights
    self.metadata = metadata
    self.kind = kind
    self.changes = changes
  }
}

/// Reads files of named tensors of one kind. A new kind is one file with a type that conforms to
/// this protocol, and one line in ``Archives/all``.
protocol ArchiveFormat: Sendable {
  /// The file's kind in messages: `safetensors file`.
  var kind: String { get }

  /// Whether the contents look like a file of this kind, damaged or not.
  func recognizes(_ contents: ByteSlice) -> Bool

  /// Whether reading every tensor compares checksums.
  func checksums(of contents: ByteSlice) -> Checksums

  /// Opens the file and checks everything but the tensors' numbers, which are read later.
  func open(_ path: String) throws -> Archive
}

extension ArchiveFormat {
  func checksums(of contents: ByteSlice) -> Checksums { .absent }
}

/// The kinds of files of named tensors.
package enum Archives {
  static let all: [any ArchiveFormat] = [
    SafetensorsArchive(),
    TorchArchive(),
    GGUFArchive(),
  ]

  /// The kind of the file at `path`; `nil` where there is no file, or one of an unknown kind.
  static func format(of path: String) -> (any ArchiveFormat)? {
    guard !isFolder(path), let contents = try? ByteSlice.mapping(path) else { return nil }
    return all.first { $0.recognizes(contents) }
  }

  /// Whether reading every tensor of the file at `path` compares checksums.
  package static func checksums(of path: String) -> Checksums {
    guard let format = format(of: path), let contents = try? ByteSlice.mapping(path) else {
      return .absent
    }
    return format.checksums(of: contents)
  }

  /// Opens the file at `path`.
  ///
  /// - Throws: ``LayoutError`` for a file of an unknown kind, the errors of its kind's reader,
  ///   ``QuantizedFormError`` for quantized weights of a form that is not read, and ``WeightError``
  ///   for those that do not fit their form.
  package static func open(_ path: String) throws -> Archive {
    let archive = try stored(path)
    let (weights, changes) = try QuantizedForms.restored(
      archive.weights, metadata: archive.metadata, path: path)
    return Archive(
      weights: weights, metadata: archive.metadata, kind: archive.kind,
      changes: archive.changes + changes)
  }

  /// The tensors of the file at `path` as they are stored, with those of quantized forms.
  ///
  /// - Parameter expected: the format of files of that name. Only it is named in the error for a file
  ///   of an unknown kind, and its reader says what is wrong with contents of no known kind.
  /// - Throws: ``LayoutError`` for a file of an unknown kind, and the errors of its kind's reader.
  static func stored(
    _ path: String, expecting expected: (any ArchiveFormat)? = nil
  ) throws -> Archive {
    if let fault = LayoutError.downloadFault(of: path) { throw fault }
    if let format = format(of: path) { return try format.open(path) }
    guard let expected else { throw LayoutError.unknown(path, readable: all.map(\.kind)) }
    if let contents = try? ByteSlice.mapping(path),
      contents.count == 0 || knownFileKind(contents) != nil
    {
      throw LayoutError.notRecognized(
        path: path, found: fileKind(contents), readable: [expected.kind])
    }
    return try expected.open(path)
  }
}

package import ModelSources

/// The readers of this module. Workflow adds the reader of `.decant` files.
package enum Readers {
  package static let all: [any ModelReader] = [
    DiffusersFolderReader(),
    SingleFileReader(),
  ]
}

extension [any ModelReader] {
  /// The reader that recognizes the file or folder at `path`.
  ///
  /// - Throws: ``LayoutError``, also for a file whose download is not finished.
  package func reader(for path: String) throws(LayoutError) -> any ModelReader {
    if let fault = LayoutError.downloadFault(of: path) { throw fault }
    guard let reader = first(where: { $0.recognizes(path) }) else {
      throw .unknown(path, readable: flatMap(\.kinds))
    }
    return reader
  }

  /// Reads the model at `path` in any layout.
  package func read(_ path: String, options: ReadOptions = ReadOptions()) throws -> ModelSource {
    try reader(for: path).read(path, options: options)
  }
}

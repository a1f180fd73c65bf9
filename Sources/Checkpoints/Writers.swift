package import ModelSources
internal import Support

/// The writers of this module. Workflow adds the writer of `.decant` files.
package enum Writers {
  package static let all: [any ModelWriter] = [
    DiffusersFolderWriter(),
    CheckpointWriter(),
    GGUFWriter(),
  ]

  /// The writer of single components. It is no layout of a model, so it is not in ``all``.
  package static let component: any ModelWriter = ComponentWriter()
}

extension [any ModelWriter] {
  /// The writer with a name; without one, the writer that claims the path.
  package func writer(for path: String, named name: String? = nil) throws(LayoutError)
    -> any ModelWriter
  {
    if let name {
      guard let writer = member(named: name, of: self, names: { [$0.name] }) else {
        throw .unknownWriter(name: name, known: map(\.name))
      }
      return writer
    }
    guard let writer = first(where: { $0.claims(path) }) else {
      throw .notWritable(path: path, writable: map(\.name))
    }
    return writer
  }
}

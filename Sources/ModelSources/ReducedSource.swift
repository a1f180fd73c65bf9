package import Tensors

/// The tensors of a source without some of them.
package struct ReducedSource: WeightSource {
  package let names: [String]
  private let base: any WeightSource
  private let removed: Set<String>

  package init(_ base: any WeightSource, without removed: Set<String>) {
    names = base.names.filter { !removed.contains($0) }
    self.base = base
    self.removed = removed
  }

  package var location: String { base.location }

  package func entry(_ name: String) -> TensorEntry? {
    removed.contains(name) ? nil : base.entry(name)
  }

  package func storedName(_ name: String) -> String { base.storedName(name) }

  package func tensor(_ name: String) throws -> StoredTensor {
    guard !removed.contains(name) else { throw absent(name) }
    return try base.tensor(name)
  }
}

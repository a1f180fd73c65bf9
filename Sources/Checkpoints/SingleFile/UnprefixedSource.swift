import ModelSources
import Tensors

/// The tensors of one component under names without the prefix that they have in whole models.
struct UnprefixedSource: WeightSource {
  private let base: any WeightSource
  private let prefix: String

  /// - Precondition: every name of `base` has the prefix.
  init(_ base: any WeightSource, prefix: String) {
    self.base = base
    self.prefix = prefix
  }

  var location: String { base.location }
  var names: [String] { base.names.map { String($0.dropFirst(prefix.count)) } }
  func entry(_ name: String) -> TensorEntry? { base.entry(prefix + name) }
  func storedName(_ name: String) -> String { base.storedName(prefix + name) }
  func tensor(_ name: String) throws -> StoredTensor { try base.tensor(prefix + name) }
}

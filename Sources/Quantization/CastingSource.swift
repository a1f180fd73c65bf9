package import ModelSources
package import Tensors

/// A component with its floating-point tensors converted to one element kind, each on access.
///
/// Integer and Boolean tensors stay as they are.
package struct CastingSource: WeightSource {
  private let base: any WeightSource
  private let scheme: PlainScheme

  /// - Precondition: `scheme` is f32, f16 or bf16.
  package init(_ base: any WeightSource, to scheme: any Scheme) {
    guard let plain = scheme as? PlainScheme else {
      preconditionFailure("a component cannot be cast to \(scheme.name)")
    }
    self.base = base
    self.scheme = plain
  }

  package var location: String { base.location }
  package var names: [String] { base.names }
  package func storedName(_ name: String) -> String { base.storedName(name) }

  package func entry(_ name: String) -> TensorEntry? {
    guard let entry = base.entry(name) else { return nil }
    return TensorEntry(
      shape: entry.shape,
      encoding: entry.encoding.isFloatingPoint ? scheme.encoding : entry.encoding)
  }

  package func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    guard tensor.encoding.isFloatingPoint else { return tensor }
    return try namingErrors(of: tensor, name: name, location: location, scheme: scheme) {
      () throws(SchemeError) in try scheme.rounded(tensor)
    }
  }
}

internal import Tensors

/// A reference to one tensor of a weight source.
package struct TensorPlace: Sendable {
  package let source: any WeightSource
  package let name: String

  package init(source: any WeightSource, name: String) {
    self.source = source
    self.name = name
  }

  /// An upper bound for the bytes of memory that reading takes: the tensor, and float32 numbers
  /// that it is computed from.
  package var cost: Int {
    guard let entry = source.entry(name) else { return 0 }
    return entry.byteCount + entry.shape.count * 4
  }
}

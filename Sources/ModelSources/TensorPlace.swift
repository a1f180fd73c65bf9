internal import Tensors

/// One tensor of a source.
package struct TensorPlace: Sendable {
  package let source: any WeightSource
  package let name: String

  package init(source: any WeightSource, name: String) {
    self.source = source
    self.name = name
  }

  /// Bytes that reading it takes at most: those of the tensor, and of what it is made from.
  package var cost: Int {
    guard let entry = source.entry(name) else { return 0 }
    return entry.byteCount + entry.shape.count * 4
  }
}

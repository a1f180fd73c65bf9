/// Layers of a component that were rounded before the output is written, because their method needs
/// more than the weights.
package struct RoundedLayers: Sendable {
  /// A weight in its encoding, with the name of the method that rounded it.
  package struct Layer: Sendable {
    package let encoded: EncodedTensor
    package let method: String

    package init(encoded: EncodedTensor, method: String) {
      self.encoded = encoded
      self.method = method
    }
  }

  private let layers: [String: Layer]

  /// - Parameter layers: layers by the name of their weight.
  package init(_ layers: [String: Layer] = [:]) { self.layers = layers }

  package subscript(tensor: String) -> Layer? { layers[tensor] }
}

import Tensors

extension OutputProfile {
  /// The ``prepared(_:)`` form of the ``widened(_:)`` model.
  package func fitted(_ model: ModelSource) -> ModelSource { prepared(widened(model)) }

  /// The model without quantized tensors that the program reads only as plain numbers. They become
  /// float16.
  ///
  /// Quantized tensors in an encoding that the program does not read at all stay as they are; the
  /// layout's writer refuses them.
  package func widened(_ model: ModelSource) -> ModelSource {
    var model = model
    for index in model.components.indices {
      let component = model.components[index]
      model.components[index].weights = FittedSource(
        base: component.weights, profile: self, component: component.name)
    }
    return model
  }
}

extension OutputProfile {
  /// The bytes of all weights of a model in the file that the program reads, without lossless
  /// coding. No weights are read.
  package func storedBytes(of model: ModelSource) -> Int {
    fitted(model).components.reduce(0) { sum, component in
      sum + component.weights.entries.reduce(0) { $0 + stored($1).byteCount }
    }
  }
}

/// A component's tensors as a profile's program reads them.
private struct FittedSource: WeightSource {
  let base: any WeightSource
  let profile: any OutputProfile
  let component: String

  var location: String { base.location }
  var names: [String] { base.names }

  private func isWidened(_ name: String, _ entry: TensorEntry) -> Bool {
    entry.encoding.isQuantized && profile.accepted(entry.encoding) == entry.encoding
      && !profile.holds(entry, of: name, in: component)
  }

  func entry(_ name: String) -> TensorEntry? {
    guard let entry = base.entry(name), isWidened(name, entry) else { return base.entry(name) }
    return TensorEntry(shape: entry.shape, encoding: .plain(.f16))
  }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    guard isWidened(name, tensor.entry) else { return tensor }
    let widened = tensor.converted(to: .f16)
    guard !widened.hasNonfinite else {
      throw WeightError(
        location: location, tensor: name,
        found: tensor.hasNonfinite
          ? "NaN or infinite numbers"
          : "\(tensor.encoding.name) with a number beyond 65504, and \(profile.title) reads this "
            + "tensor as f16 only")
    }
    return widened
  }
}

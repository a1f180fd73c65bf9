package import ModelSources
package import Tensors

/// A component with its tensors stored as a plan says, each encoded on access.
package struct QuantizedSource: WeightSource {
  private let base: any WeightSource
  private let plan: QuantizationPlan
  private let statistics: ActivationStatistics?
  private let rounded: RoundedLayers
  package let ledger: QuantizationLedger

  /// - Parameters:
  ///   - statistics: calibration statistics of the component's modules.
  ///   - rounded: layers that are rounded already, in the encodings of the plan.
  /// - Throws: ``ConversionError`` when a tensor to quantize is already quantized, or when the
  ///   statistics have another number of input channels.
  package init(
    _ base: any WeightSource, plan: QuantizationPlan, statistics: ActivationStatistics? = nil,
    rounded: RoundedLayers = RoundedLayers()
  ) throws(ConversionError) {
    self.base = base
    self.plan = plan
    self.statistics = statistics
    self.rounded = rounded
    ledger = QuantizationLedger(names: base.names)
    for entry in plan.entries where entry.scheme.encoding.isQuantized {
      func refuse(_ reason: ConversionError.Reason) -> ConversionError {
        ConversionError(location: base.location, tensor: entry.tensor, reason: reason)
      }
      if let stored = base.entry(entry.tensor), stored.encoding.isQuantized {
        throw refuse(.alreadyQuantized(stored.encoding))
      }
      if let module = statistics?[entry.module], entry.shape.rank >= 2,
        module.channels != entry.shape[1]
      {
        throw refuse(.meanSquares(count: module.channels, inputs: entry.shape[1]))
      }
    }
  }

  package var location: String { base.location }
  package var names: [String] { base.names }
  package func storedName(_ name: String) -> String { base.storedName(name) }

  package func entry(_ name: String) -> TensorEntry? {
    guard let entry = base.entry(name) else { return nil }
    guard entry.encoding.isFloatingPoint, let scheme = plan[name]?.scheme else { return entry }
    return TensorEntry(shape: entry.shape, encoding: scheme.encoding)
  }

  package func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    guard tensor.encoding.isFloatingPoint, let entry = plan[name] else { return tensor }
    let layer = try rounded[name] ?? encode(tensor, name: name, by: entry)
    let encoded = layer.encoded
    ledger.add(
      QuantizationLedger.Record(
        tensor: name, shape: tensor.shape, before: tensor.encoding,
        after: encoded.tensor.encoding, bytesBefore: tensor.byteCount,
        bytesAfter: encoded.tensor.byteCount,
        method: entry.scheme.usesMethod ? layer.method : nil,
        figures: encoded.figures, reason: entry.reason))
    return encoded.tensor
  }

  private func encode(
    _ tensor: StoredTensor, name: String, by entry: QuantizationPlan.Entry
  ) throws -> RoundedLayers.Layer {
    let statistics =
      entry.scheme.encoding.isQuantized
      ? statistics?[entry.module].flatMap { LayerStatistics($0, shape: tensor.shape) } : nil
    let method = plan.method.applied(with: statistics)
    let encoded = try entry.encode(
      tensor, method: method, statistics: statistics, location: location)
    return RoundedLayers.Layer(encoded: encoded, method: method.name)
  }
}

extension QuantizationPlan.Entry {
  /// The weights in the entry's scheme.
  ///
  /// - Parameter location: the weights' file, for errors.
  package func encode(
    _ weights: StoredTensor, method: any RoundingMethod, statistics: LayerStatistics?,
    location: String
  ) throws(ConversionError) -> EncodedTensor {
    try namingErrors(of: weights, name: tensor, location: location, scheme: scheme) {
      () throws(SchemeError) in
      try scheme.encode(weights, method: method, statistics: statistics)
    }
  }
}

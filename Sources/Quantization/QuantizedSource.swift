package import ModelSources
package import Tensors

/// A component with its tensors stored as a plan says, each encoded on access.
package struct QuantizedSource: WeightSource {
  private let base: any WeightSource
  private let plan: QuantizationPlan
  private let statistics: ActivationStatistics?
  package let ledger: QuantizationLedger

  /// - Parameter statistics: calibration statistics of the component's modules.
  /// - Throws: ``ConversionError`` when a tensor to quantize is already quantized, or when the
  ///   statistics have another number of input channels.
  package init(
    _ base: any WeightSource, plan: QuantizationPlan, statistics: ActivationStatistics? = nil
  ) throws(ConversionError) {
    self.base = base
    self.plan = plan
    self.statistics = statistics
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
    let scheme = entry.scheme
    let isQuantized = scheme.encoding.isQuantized
    let layer =
      isQuantized
      ? statistics?[entry.module].flatMap { LayerStatistics($0, shape: tensor.shape) } : nil
    let encoded = try namingErrors(of: tensor, name: name, location: location, scheme: scheme) {
      () throws(SchemeError) in
      try scheme.encode(tensor, method: plan.method, statistics: layer)
    }
    ledger.add(
      QuantizationLedger.Record(
        tensor: name, shape: tensor.shape, before: tensor.encoding,
        after: encoded.tensor.encoding, bytesBefore: tensor.byteCount,
        bytesAfter: encoded.tensor.byteCount,
        method: scheme.encoding.codeFormat == nil ? nil : plan.method.name,
        figures: encoded.figures, reason: entry.reason))
    return encoded.tensor
  }
}

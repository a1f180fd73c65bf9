package import ModelSources
package import Tensors

/// Why a tensor cannot be stored as it was asked for.
package struct ConversionError: Error, Equatable, CustomStringConvertible {
  package enum Reason: Hashable, Sendable {
    case nonfinite(scheme: String)
    case overflowsHalf
    case scaleOverflowsHalf(scheme: String, scale: Float)
    case alreadyQuantized(TensorEncoding)
    case notWidenable(TensorEncoding)
    case meanSquares(count: Int, inputs: Int)
  }

  package let location: String
  package let tensor: String
  package let reason: Reason

  package var description: String {
    let what =
      switch reason {
      case .nonfinite(let scheme):
        "holds NaN or infinity, which \(scheme) has no code for; exclude it with --keep or mend it"
      case .overflowsHalf:
        "holds a number beyond 65504, which f16 cannot store; use bf16 or f32"
      case .scaleOverflowsHalf(let scheme, let scale):
        "needs a scale of \(scale), \(scheme) stores scales up to 65504; use int8"
      case .alreadyQuantized(let encoding):
        "is \(encoding.name) already; quantize the model that it was made from"
      case .notWidenable(let encoding):
        "is \(encoding.name), which cannot be converted"
      case .meanSquares(let count, let inputs):
        "has \(inputs) input channels, the calibration has \(count); calibrate this model"
      }
    return "\(location): tensor '\(tensor)' \(what)"
  }
}

/// A component with every floating-point tensor in one scheme, converted when it is asked for.
///
/// Tensors of whole numbers and Booleans stay as they are.
package struct CastingSource: WeightSource {
  private let base: any WeightSource
  private let scheme: PlainScheme

  /// - Precondition: `scheme` is a plain one: f32, f16 or bf16.
  package init(_ base: any WeightSource, to scheme: any Scheme) {
    guard let plain = scheme as? PlainScheme else {
      preconditionFailure("a component is not cast to \(scheme.name)")
    }
    self.base = base
    self.scheme = plain
  }

  package var location: String { base.location }
  package var names: [String] { base.names }

  package func entry(_ name: String) -> TensorEntry? {
    guard let entry = base.entry(name) else { return nil }
    return TensorEntry(
      shape: entry.shape,
      encoding: entry.encoding.isFloatingPoint ? scheme.encoding : entry.encoding)
  }

  package func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    guard tensor.encoding.isFloatingPoint else { return tensor }
    return try refusing(tensor, name: name, location: location, scheme: scheme) {
      () throws(SchemeError) in try scheme.rounded(tensor)
    }
  }
}

/// A component stored as a plan says, each tensor encoded when it is asked for.
package struct QuantizedSource: WeightSource {
  private let base: any WeightSource
  private let plan: QuantizationPlan
  private let statistics: ActivationStatistics?
  package let ledger: QuantizationLedger

  /// - Parameter statistics: what calibration saw of the inputs of the component's modules.
  /// - Throws: ``ConversionError`` when a tensor that is to be quantized is quantized already, or
  ///   the statistics are of other channels.
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

  package func entry(_ name: String) -> TensorEntry? {
    guard let entry = base.entry(name) else { return nil }
    guard entry.encoding.isFloatingPoint, let scheme = plan[name]?.scheme else { return entry }
    return TensorEntry(shape: entry.shape, encoding: scheme.encoding)
  }

  package func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    guard tensor.encoding.isFloatingPoint, let entry = plan[name] else { return tensor }
    return try encode(
      tensor, name: name, location: location, scheme: entry.scheme, method: plan.method,
      meanSquares: meanSquares(entry, tensor.shape), reason: entry.reason, ledger: ledger)
  }

  /// The mean square of the input of each weight of a row: a channel's, for each tap of a kernel.
  ///
  /// Weights lie as [output, input, height, width], so the taps of a channel follow each other.
  private func meanSquares(_ entry: QuantizationPlan.Entry, _ shape: Shape) -> [Float]? {
    guard entry.scheme.encoding.isQuantized, shape.rank >= 2,
      let channels = statistics?[entry.module]?.meanSquares(), channels.contains(where: { $0 > 0 })
    else { return nil }
    let taps = shape.rowLength / max(1, shape[1])
    return channels.flatMap { [Float](repeating: Float($0), count: taps) }
  }
}

/// Encodes one tensor and notes it.
private func encode(
  _ tensor: StoredTensor, name: String, location: String, scheme: any Scheme,
  method: RoundingMethod, meanSquares: [Float]?, reason: String, ledger: QuantizationLedger
) throws(ConversionError) -> StoredTensor {
  let encoded = try refusing(tensor, name: name, location: location, scheme: scheme) {
    () throws(SchemeError) in
    try scheme.encode(tensor, method: method, meanSquares: meanSquares)
  }
  ledger.add(
    QuantizationLedger.Record(
      tensor: name, shape: tensor.shape, before: tensor.encoding, after: encoded.tensor.encoding,
      bytesBefore: tensor.byteCount, bytesAfter: encoded.tensor.byteCount,
      method: scheme.encoding.isQuantized ? method : nil, figures: encoded.figures,
      reason: reason))
  return encoded.tensor
}

/// What `encode` makes of a tensor; what a scheme refuses, said of that tensor.
private func refusing<Encoded>(
  _ tensor: StoredTensor, name: String, location: String, scheme: any Scheme,
  _ encode: () throws(SchemeError) -> Encoded
) throws(ConversionError) -> Encoded {
  func refuse(_ reason: ConversionError.Reason) -> ConversionError {
    ConversionError(location: location, tensor: name, reason: reason)
  }
  guard tensor.encoding.isWidenable else { throw refuse(.notWidenable(tensor.encoding)) }
  do {
    return try encode()
  } catch {
    switch error {
    case .nonfinite: throw refuse(.nonfinite(scheme: scheme.name))
    case .overflowsHalf: throw refuse(.overflowsHalf)
    case .scaleOverflowsHalf(let scale):
      throw refuse(.scaleOverflowsHalf(scheme: scheme.name, scale: scale))
    }
  }
}

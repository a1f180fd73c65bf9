package import Support
package import Tensors

/// A tensor that cannot be stored in the requested scheme.
package struct ConversionError: RemediableError, Equatable {
  /// What is wrong with the tensor.
  package enum Reason: Hashable, Sendable {
    case nonfinite(scheme: String)
    /// A magnitude is above `limit`, the largest that the scheme stores.
    case overflows(scheme: String, limit: Float)
    case scaleOverflowsHalf(scheme: String, scale: Float)
    case alreadyQuantized(TensorEncoding)
    case notWidenable(TensorEncoding)
    /// The calibration has statistics of `count` input channels, the tensor has `inputs`.
    case meanSquares(count: Int, inputs: Int)
  }

  /// The file or folder of the component, as its reader names it.
  package let location: String
  package let tensor: String
  package let reason: Reason

  package var description: String {
    let finding =
      switch reason {
      case .nonfinite(let scheme):
        "holds NaN or infinity, which \(scheme) cannot store"
      case .overflows(let scheme, let limit):
        "holds a magnitude above \(formatted(Double(limit), digits: 5)), which \(scheme) cannot store"
      case .scaleOverflowsHalf(let scheme, let scale):
        "needs a scale of \(scale), but \(scheme) stores scales up to 65504"
      case .alreadyQuantized(let encoding):
        "is already quantized to \(encoding.name)"
      case .notWidenable(let encoding):
        "is \(encoding.name), which cannot be converted"
      case .meanSquares(let count, let inputs):
        "has \(inputs) input channels, but the calibration has \(count)"
      }
    return "\(location): tensor '\(tensor)' \(finding)"
  }

  package var remedy: Remedy? {
    switch reason {
    case .nonfinite:
      .either([
        .choose(.keep, [module], purpose: "to leave it unquantized"), .act("repair the weights"),
      ])
    case .overflows(_, let limit): .storeAs(PlainScheme.names(storingMoreThan: limit))
    case .scaleOverflowsHalf: .storeAs([Schemes.int8.name])
    case .alreadyQuantized: .quantizeOriginal
    case .notWidenable: nil
    case .meanSquares: .recalibrate
    }
  }

  /// The module that the tensor belongs to: its name without `.weight`.
  private var module: String {
    tensor.lastIndex(of: ".").map { String(tensor[..<$0]) } ?? tensor
  }
}

/// Encodes a tensor, and adds its name to the error of a scheme that cannot store it.
func namingErrors<Encoded>(
  of tensor: StoredTensor, name: String, location: String, scheme: any Scheme,
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
    case .overflows(let limit): throw refuse(.overflows(scheme: scheme.name, limit: limit))
    case .scaleOverflowsHalf(let scale):
      throw refuse(.scaleOverflowsHalf(scheme: scheme.name, scale: scale))
    }
  }
}

package import Support
private import Synchronization
package import Tensors

/// A record of each tensor of a component that was quantized: encoding, size and error.
///
/// ``QuantizedSource`` adds a record when a writer reads a tensor, from any thread. A tensor that
/// is read twice has one record.
package final class QuantizationLedger: Sendable {
  /// A tensor before and after quantization.
  package struct Record: Sendable, Equatable {
    package let tensor: String
    package let shape: Shape
    package let before: TensorEncoding
    package let after: TensorEncoding
    package let bytesBefore: Int
    package let bytesAfter: Int
    /// The name of the rounding method; `nil` for floating-point encodings.
    package let method: String?
    package let figures: RoundingFigures
    /// Why the plan chose the tensor's scheme.
    package let reason: String
  }

  private let state = Mutex<[String: Record]>([:])
  private let order: [String]

  /// - Parameter names: all tensors of the component; ``records`` has their order.
  package init(names: [String]) { order = names }

  package func add(_ record: Record) { state.withLock { $0[record.tensor] = record } }

  /// One record for each tensor that was read.
  package var records: [Record] {
    let all = state.withLock { $0 }
    return order.compactMap { all[$0] }
  }

  package var json: JSONValue { .array(records.map(\.json)) }
}

extension QuantizationLedger.Record {
  /// The record as JSON. Decibels are null when they are infinite or were not measured.
  package var json: JSONValue {
    func decibels(_ value: Double?) -> JSONValue { value.map { .number($0) } ?? .null }
    var object: JSONObject = [
      "tensor": .string(tensor),
      "shape": .integers(shape.extents),
      "before": .string(before.name),
      "after": .string(after.name),
      "bytes_before": .integer(bytesBefore),
      "bytes_after": .integer(bytesAfter),
      "reason": .string(reason),
      "sqnr_db": decibels(figures.sqnr),
    ]
    if let method {
      object["method"] = .string(method)
      object["weighted_sqnr_db"] = decibels(figures.weightedSQNR)
      object["plain_sqnr_db"] = decibels(figures.plainSQNR)
      object["plain_weighted_sqnr_db"] = decibels(figures.plainWeightedSQNR)
    }
    if let clip = figures.clip {
      object["mean_clip"] = .number(clip.mean)
      object["least_clip"] = .number(clip.least)
    }
    return .object(object)
  }
}

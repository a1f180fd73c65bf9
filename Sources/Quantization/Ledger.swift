package import Support
private import Synchronization
package import Tensors

/// What happened to each tensor of a component that was converted or quantized.
///
/// Sources fill it while a writer asks them for tensors, from whatever threads. A tensor that is
/// asked for twice has one record.
package final class QuantizationLedger: Sendable {
  package struct Record: Sendable, Equatable {
    package let tensor: String
    package let shape: Shape
    package let before: TensorEncoding
    package let after: TensorEncoding
    package let bytesBefore: Int
    package let bytesAfter: Int
    /// How scales were found; `nil` where there are none.
    package let method: RoundingMethod?
    package let figures: RoundingFigures
    /// Why it has its scheme.
    package let reason: String
  }

  private let state = Mutex<[String: Record]>([:])
  private let order: [String]

  /// - Parameter names: the tensors that may come, in the order in which records are given.
  package init(names: [String]) { order = names }

  package func add(_ record: Record) { state.withLock { $0[record.tensor] = record } }

  /// One for each tensor that was asked for.
  package var records: [Record] {
    let all = state.withLock { $0 }
    return order.compactMap { all[$0] }
  }

  package var bytesBefore: Int { records.reduce(0) { $0 + $1.bytesBefore } }

  package var bytesAfter: Int { records.reduce(0) { $0 + $1.bytesAfter } }

  package var json: JSONValue { .array(records.map(\.json)) }
}

extension QuantizationLedger.Record {
  /// The record as JSON. Decibels are null where nothing changed and where nothing was measured.
  package var json: JSONValue {
    func decibels(_ value: Double?) -> JSONValue { value.map { .number($0) } ?? .null }
    var object: JSONObject = [
      "tensor": .string(tensor),
      "shape": .array(shape.extents.map(JSONValue.integer)),
      "before": .string(before.name),
      "after": .string(after.name),
      "bytes_before": .integer(bytesBefore),
      "bytes_after": .integer(bytesAfter),
      "reason": .string(reason),
      "sqnr_db": decibels(figures.sqnr),
    ]
    if let method {
      object["method"] = .string(method.rawValue)
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

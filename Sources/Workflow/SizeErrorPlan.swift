package import Support

/// Predicted errors of quantized models by their size.
package struct SizeErrorPlan: JobOutcome {
  /// A size with the error that is predicted for it.
  struct Point: Sendable {
    /// The type of all layers; `nil` where each layer has its own.
    let type: String?
    /// Bytes of the whole output.
    let bytes: Int
    /// Stored bits of a weight of the U-Net's convolutions and linear layers.
    let bits: Double
    /// The relative error of the guided prediction with rounding to nearest.
    let error: Double
    /// The share of the U-Net's parameters that are left, from 0 to 1; `nil` for the whole U-Net.
    let share: Double?
  }

  /// The points of one output.
  struct Curve: Sendable {
    /// Bytes of the smallest output.
    let smallest: Int
    /// `decant file without coding`.
    let title: String
    let layout: String
    let program: String
    let isCoded: Bool
    /// Whether models without some blocks have points.
    let removesBlocks: Bool
    /// Points with types that are chosen for each layer; those that can be reached.
    let points: [Point]
    /// Points with one type for all layers.
    let types: [Point]
  }

  let model: String
  /// The wanted sizes in bytes; empty where they follow from the outputs.
  let sizes: [Int]
  let curves: [Curve]
  /// The path of the chart that was written.
  let chart: String?

  package var json: JSONValue {
    var object: JSONObject = [
      "model": .string(model), "curves": .array(curves.map(\.json)),
    ]
    if let chart { object["chart"] = .string(chart) }
    return .object(object)
  }

  package var text: String {
    var rows = [["output", "types", "size", "bits a weight", "predicted error"]]
    for curve in curves {
      for point in curve.points + curve.types {
        rows.append([
          curve.title, point.type ?? "chosen" + (point.share.map(Self.text(ofShare:)) ?? ""),
          formatted(bytes: point.bytes),
          formatted(point.bits, digits: 3), Self.text(ofError: point.error),
        ])
      }
    }
    var lines = [
      table(rows, rightAligned: [2, 3, 4]),
      "errors: of the guided prediction, relative, for rounding to nearest; a rounding method with a "
        + "calibration has smaller ones",
    ]
    lines += removals + unreachable
    if let chart { lines.append("chart: \(chart)") }
    return lines.joined(separator: "\n")
  }

  private static func text(ofShare share: Double) -> String {
    ", \(formatted(100 * share, digits: 3)) % of unet"
  }

  private static func text(ofError error: Double) -> String {
    // Even fp16 arithmetic has larger errors.
    error > 0 && error < 1e-5 ? "below 0.001 %" : QuantizationTarget.error(0).text(error)
  }

  /// The wanted sizes that an output cannot have.
  private var unreachable: [String] {
    curves.compactMap { curve in
      let small = sizes.filter { $0 < curve.smallest }.sorted().map(formatted(bytes:))
      return small.isEmpty
        ? nil
        : "\(curve.title): \(listed(small)) cannot be reached; the smallest is "
          + formatted(bytes: curve.smallest)
    }
  }

  /// Where removing blocks beats rounding alone, for each output.
  private var removals: [String] {
    curves.filter(\.removesBlocks).map { curve in
      let better = curve.points.filter { $0.share != nil }.map(\.bytes)
      guard let most = better.max() else {
        return "\(curve.title): the whole model has the smaller error at every size"
      }
      return "\(curve.title): the smaller error at sizes up to \(formatted(bytes: most))"
    }
  }

  func writeChart(to path: String, replacing: Bool) throws {
    let file = try ReplacingFile(path: path, replacing: replacing)
    try file.write([UInt8](SizeErrorChart(curves: curves).svg.utf8))
    try file.commit()
  }
}

extension SizeErrorPlan.Curve {
  fileprivate var json: JSONValue {
    [
      "title": .string(title), "layout": .string(layout), "program": .string(program),
      "coded": .bool(isCoded), "removes_blocks": .bool(removesBlocks),
      "smallest": .integer(smallest),
      "points": .array((points + types).map(\.json)),
    ]
  }
}

extension SizeErrorPlan.Point {
  fileprivate var json: JSONValue {
    [
      "type": type.map { .string($0) } ?? .null, "bytes": .integer(bytes), "bits": .number(bits),
      "predicted_error": .number(error), "unet_share": .number(share ?? 1),
    ]
  }
}

private import Foundation
package import ModelSources
package import Models
internal import Support
package import Tensors

/// One way to store the weights of a layer, and what it costs.
package struct LayerOption: Sendable {
  package let scheme: any Scheme
  /// Bytes in the output.
  package let bytes: Double
  /// The error of rounding to nearest: its mean square, relative to that of the weights, times 12. A
  /// uniform step of Δ has the mean squared error Δ²/12, so that this is the square of a relative step.
  package let squaredStep: Double

  package init(scheme: any Scheme, bytes: Double, squaredStep: Double) {
    self.scheme = scheme
    self.bytes = bytes
    self.squaredStep = squaredStep
  }
}

/// The ways to store the weights of one layer.
package struct LayerOptions: Sendable {
  /// The module's name.
  package let name: String
  package let weightCount: Int
  /// At least one.
  package let options: [LayerOption]

  package init(name: String, weightCount: Int, options: [LayerOption]) {
    self.name = name
    self.weightCount = weightCount
    self.options = options
  }
}

extension LayerOptions {
  /// The most weights of a layer that are rounded to measure an option. Rows are spread evenly. The
  /// bytes of 2^18 codes are those of all codes within 0.2 %.
  static let sampleSize = 1 << 18

  /// Measures options on the weights of a layer.
  ///
  /// Options that lose a row to one large weight (``Outliers``), or that cannot store the weights,
  /// are left out.
  ///
  /// - Parameters:
  ///   - schemes: the schemes that the output can hold.
  ///   - codedBytes: the bytes of a tensor in the output; `nil` where that is the size of its encoding.
  /// - Throws: ``WeightError`` where no scheme is left, or an error of the weights.
  package init(
    of module: ModuleSpec, in weights: any WeightSource, schemes: [any Scheme],
    codedBytes: ((StoredTensor) -> Int)?
  ) throws {
    let tensor = try weights.tensor(module.weight.name)
    let sample = tensor.sample(of: Self.sampleSize)
    let share = Double(tensor.shape.count) / Double(max(1, sample.shape.count))
    var lossy: [TensorEncoding: Bool] = [:]
    var options: [LayerOption] = []
    for scheme in schemes {
      guard let bytes = scheme.encoding.byteCount(for: tensor.shape) else { continue }
      if lossy[scheme.encoding] == nil {
        lossy[scheme.encoding] = Outliers(in: tensor, storedAs: scheme)?.loss != nil
      }
      if lossy[scheme.encoding] == true { continue }
      guard
        let encoded = try? scheme.encode(
          sample, method: RoundingMethods.nearest, statistics: nil)
      else { continue }
      options.append(
        LayerOption(
          scheme: scheme,
          bytes: codedBytes.map { Double($0(encoded.tensor)) * share } ?? Double(bytes),
          squaredStep: encoded.figures.squaredStep))
    }
    if options.isEmpty {
      throw WeightError(
        location: weights.location, tensor: module.weight.name,
        found: "numbers that no type of the output can hold")
    }
    self.init(name: module.name, weightCount: tensor.shape.count, options: options)
  }
}

extension RoundingFigures {
  /// See ``LayerOption/squaredStep``.
  var squaredStep: Double { sqnr.isFinite ? 12 * pow(10, -sqnr / 10) : 0 }
}

extension StoredTensor {
  /// Evenly spread rows with together about `count` weights, as float32; all rows where there are
  /// fewer.
  fileprivate func sample(of count: Int) -> StoredTensor {
    let wanted = max(1, count / max(1, shape.rowLength))
    let rows = spread(wanted, over: shape.rows).sorted()
    if rows.count == shape.rows { return StoredTensor(shape: shape, floats: floats()) }
    return StoredTensor(
      shape: Shape([rows.count] + shape.extents.dropFirst()),
      floats: rows.flatMap { self.rows($0..<$0 + 1).floats() })
  }
}

internal import Calibration
private import Kernels
internal import Models
internal import Quantization
private import Sampling
package import Support
private import Tensors

/// Rounds the layers of a plan that need the second moments of their inputs, with the recorded calls
/// of a calibration. An interrupted rounding continues with the layers in the spool.
///
/// - Throws: `CancellationError`, or an error of the sampler, of the weights or of the disk.
func roundedLayers(
  of component: Model.Component, in model: Model, _ plan: QuantizationPlan,
  _ calibration: CalibrationFile, memory: Int, spool: RoundingSpool, _ events: EventSink
) throws -> RoundedLayers {
  events(.stage(.rounding(calls: MomentRounding.calls(of: calibration).count)))
  do {
    return try MomentRounding(
      try Sampler(model), calibration, component, plan: plan, memory: memory, spool: spool
    ).run { events(.progress(done: $0, total: $1)) }
  } catch is CancellationError where isFolder(spool.path) {
    throw InterruptedRounding(path: spool.path)
  }
}

/// A rounding that was interrupted after its first layer.
package struct InterruptedRounding: InterruptedJob {
  let path: String

  package var description: String { "\(path) keeps the rounded layers" }
  package var remedy: Remedy? { .repeatCommand }
}

extension RoundingSpool {
  /// The folder of layers that are rounded before `output` is written.
  static func path(beside output: String) -> String {
    siblingPath(of: output, ending: ".rounded")
  }

  /// A spool for layers of these weights, this plan's method and this calibration.
  ///
  /// - Parameter weights: the digest of the U-Net's weights.
  init(
    _ plan: QuantizationPlan, _ calibration: CalibrationFile, weights: String, memory: Int,
    path: String
  ) {
    self.init(
      path: path,
      key: [
        "version": .string(toolVersion), "weights": .string(weights),
        "method": .string(plan.method.name),
        "calibration": .object(calibration.provenance), "memory": .integer(memory),
        "calls": .array(
          MomentRounding.calls(of: calibration).map {
            [
              "prompt": .string($0.run.prompt), "negative_prompt": .string($0.run.negativePrompt),
              "seed": .integer(Int($0.run.seed)), "step": .integer($0.step),
            ]
          }),
      ])
  }

  /// - Throws: ``JobError`` where the folder beside `output` is taken by something else.
  static func checkPlace(beside output: String) throws {
    let path = path(beside: output)
    if let found = foreignContents(at: path) {
      throw JobError(
        "\(path) is needed for the rounded layers, and holds \(found)",
        remedy: .act("remove it, or name another output"))
    }
  }
}

extension QuantizationPlan {
  /// Bytes of the layers that are rounded before the output is written.
  private var spooledBytes: Int {
    guard method.usesMoments else { return 0 }
    return entries.reduce(0) { sum, entry in
      guard entry.scheme is any IntegerScheme else { return sum }
      return sum + (entry.scheme.encoding.byteCount(for: entry.shape) ?? 0)
    }
  }

  /// Bytes beside the output for layers that are rounded before it is written.
  ///
  /// - Throws: ``JobError`` where their folder is taken by something else.
  func spooledBytes(beside output: String) throws -> Int {
    if spooledBytes > 0 { try RoundingSpool.checkPlace(beside: output) }
    return spooledBytes
  }
}

extension QuantizationRequest {
  /// Bytes that a rounding method may take for what it measures.
  var memoryLimit: Int { memory ?? (machineMemory() ?? 8 << 30) / 4 }
}

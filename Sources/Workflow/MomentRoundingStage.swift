internal import Calibration
private import Foundation
private import Kernels
internal import Models
internal import Quantization
private import Sampling
internal import Support

/// Rounds the layers of a plan that need the second moments of their inputs, with the recorded calls
/// of a calibration. An interrupted rounding continues with the layers in the spool.
///
/// - Throws: `CancellationError`, or an error of the sampler, of the weights or of the disk.
func roundedLayers(
  of component: Model.Component, in model: Model, _ plan: QuantizationPlan,
  _ calibration: CalibrationFile, memory: Int, spool: RoundingSpool, _ events: EventSink
) throws -> RoundedLayers {
  events(.stage(.rounding(calls: MomentRounding.calls(of: calibration).count)))
  return try MomentRounding(
    try Sampler(model), calibration, component, plan: plan, memory: memory, spool: spool
  ).run { events(.progress(done: $0, total: $1)) }
}

extension RoundingSpool {
  /// The folder of layers that are rounded before `output` is written.
  static func path(beside output: String) -> String {
    let parts = PathParts(output)
    return parts.sibling(parts.name + ".rounded")
  }

  /// A spool for layers of this plan's method and this calibration.
  init(_ plan: QuantizationPlan, _ calibration: CalibrationFile, memory: Int, path: String) {
    self.init(
      path: path,
      key: [
        "version": .string(toolVersion), "method": .string(plan.method.name),
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
}

extension QuantizationRequest {
  /// Bytes that a rounding method may take for what it measures.
  var memoryLimit: Int { memory ?? Int(ProcessInfo.processInfo.physicalMemory / 4) }
}

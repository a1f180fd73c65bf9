package import Models
private import Quantization
private import Support
private import Tensors

/// A part of the U-Net whose rounding is measured alone: a resnet, a transformer block, or a layer.
package struct SensitivityUnit: Sendable, Equatable {
  /// `down_blocks.0.attentions.0.transformer_blocks.0`, or the name of a layer.
  package let name: String
  /// The convolutions and linear layers.
  package let modules: [ModuleSpec]

  package var weightCount: Int { modules.reduce(0) { $0 + $1.weight.shape.count } }

  /// The units of a U-Net, in the order of its modules.
  ///
  /// - Parameter byLayer: whether each layer is a unit of its own.
  package static func units(of modules: [ModuleSpec], byLayer: Bool) -> [SensitivityUnit] {
    var names: [String] = []
    var members: [String: [ModuleSpec]] = [:]
    for module in modules where module.kind.isMatrix && module.role.exclusion == nil {
      let name = byLayer ? module.name : module.unitName
      if members[name] == nil { names.append(name) }
      members[name, default: []].append(module)
    }
    return names.map { SensitivityUnit(name: $0, modules: members[$0] ?? []) }
  }
}

extension SensitivityUnit {
  /// The calls of a calibration in which units are measured: some steps of some runs, both spread
  /// evenly. Layers are measured with images of all sizes, larger units with the smallest.
  ///
  /// - Parameters:
  ///   - runs: all runs of the calibration, also those of other shards, so that every shard chooses
  ///     the same.
  ///   - steps: the recorded steps of each run.
  ///   - byLayer: whether each layer is a unit, which needs more calls.
  package static func calls(
    of runs: [CalibrationRun], steps: [Int], byLayer: Bool
  ) -> [Sensitivities.Call] {
    func area(_ run: CalibrationRun) -> Int { run.size.width * run.size.height }
    let least = runs.map(area).min()
    let all = runs.filter { byLayer || area($0) == least }.sorted()
    let chosen = spread(byLayer ? 4 : 2, over: all.count).sorted().map { all[$0] }
    let places = spread(byLayer ? 4 : 3, over: steps.count).sorted().map { steps.sorted()[$0] }
    return chosen.flatMap { run in places.map { Sensitivities.Call(run: run, step: $0) } }
  }
}

extension ModuleSpec {
  /// The transformer block that contains the layer, else its block.
  fileprivate var unitName: String {
    let parts = name.split(separator: ".")
    guard let place = parts.firstIndex(of: "transformer_blocks"), place + 1 < parts.count else {
      return block
    }
    return parts[...(place + 1)].joined(separator: ".")
  }
}

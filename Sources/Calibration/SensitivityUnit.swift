internal import ModelSources
package import Models
private import Quantization
private import Support
internal import Tensors

/// A part of the U-Net whose change is measured alone.
package protocol MeasurableUnit: Sendable {
  var name: String { get }
  /// The names of the layers or blocks that the change is made in.
  var moduleNames: [String] { get }
  /// The weights of these layers, or the parameters that a removal saves.
  var weightCount: Int { get }

  /// The model with the unit changed. The stages of its U-Net before the first one of ``moduleNames`` are
  /// those of `model`.
  func changing(_ model: Model) throws -> Model
}

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

extension SensitivityUnit: MeasurableUnit {
  package var moduleNames: [String] { modules.map(\.name) }

  /// Rounds the weights of the layers to steps of ``Sensitivities/relativeStep``.
  package func changing(_ model: Model) throws -> Model {
    let names = Set(modules.map(\.weight.name))
    var source = model.source
    for index in source.components.indices where source.components[index].name == ComponentName.unet
    {
      source.components[index].weights = CoarseSource(source.components[index].weights, names)
    }
    return try Model.bind(source)
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

/// Weights of which some are rounded to multiples of a step, relative to the root mean square of the
/// tensor.
private struct CoarseSource: WeightSource {
  private let base: any WeightSource
  private let rounded: Set<String>

  init(_ base: any WeightSource, _ rounded: Set<String>) {
    self.base = base
    self.rounded = rounded
  }

  var location: String { base.location }
  var names: [String] { base.names }

  func entry(_ name: String) -> TensorEntry? {
    guard let entry = base.entry(name), rounded.contains(name) else { return base.entry(name) }
    return TensorEntry(shape: entry.shape, encoding: .plain(.f32))
  }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    guard rounded.contains(name) else { return tensor }
    var values = tensor.floats()
    let squares = values.reduce(0) { $0 + Double($1) * Double($1) }
    let step = Float(
      Sensitivities.relativeStep * (squares / Double(max(1, values.count))).squareRoot())
    if step > 0 {
      for index in values.indices { values[index] = (values[index] / step).rounded() * step }
    }
    return StoredTensor(shape: tensor.shape, floats: values, as: .f32)
  }
}

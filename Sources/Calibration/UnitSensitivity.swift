package import Models
private import Quantization
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

/// How much the guided prediction suffers when one unit after another is rounded coarsely.
///
/// Errors are squared relative errors of the guided prediction, on the inputs of recorded calls.
package struct Sensitivities: Sendable, Equatable {
  /// The width of the steps to which weights were rounded, relative to the root mean square of a
  /// layer's weights. Fine enough that errors are proportional to the squared step.
  package static let relativeStep = 0.18

  /// The errors of one unit.
  package struct Unit: Sendable, Equatable {
    package let name: String
    /// The names of the layers.
    package let modules: [String]
    package let weightCount: Int
    /// The squared relative error of the guided prediction in each call.
    package let errors: [Double]

    package init(name: String, modules: [String], weightCount: Int, errors: [Double]) {
      self.name = name
      self.modules = modules
      self.weightCount = weightCount
      self.errors = errors
    }
  }

  /// In the order of the U-Net.
  package var units: [Unit]

  package init(units: [Unit]) { self.units = units }

  /// The sensitivity of each unit: the mean over calls of its error, each divided by the mean error of
  /// all units in that call, for a step of the root mean square of the weights.
  ///
  /// Early and late steps count alike, because errors of each call are normalised.
  package var values: [Double] {
    guard let count = units.first?.errors.count, count > 0 else { return [] }
    let means = (0..<count).map { call in
      units.reduce(0) { $0 + $1.errors[call] } / Double(units.count)
    }
    return units.map { unit in
      let relative = zip(unit.errors, means).reduce(0) { $0 + ($1.1 > 0 ? $1.0 / $1.1 : 0) }
      return relative / Double(count) / (Self.relativeStep * Self.relativeStep)
    }
  }

  /// The sensitivity of a weight of each layer, by the layer's name.
  package var perWeight: [String: Double] {
    var found: [String: Double] = [:]
    for (unit, value) in zip(units, values) {
      for module in unit.modules { found[module] = value / Double(max(1, unit.weightCount)) }
    }
    return found
  }
}

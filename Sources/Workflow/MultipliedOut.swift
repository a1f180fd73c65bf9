internal import ModelSources
private import Support
internal import Tensors

extension ModelSource {
  /// The model with float8 weights times their scales as float16, where the output's program does not
  /// read float8 weights with scales.
  ///
  /// Integer codes stay as they are, and such an output is refused: their layers are computed in
  /// integers, so that a user should choose what becomes of them.
  func multiplyingOutScales(for profile: any OutputProfile) -> ModelSource {
    var model = self
    for index in model.components.indices {
      let component = model.components[index]
      let names = component.weights.names.filter { name in
        guard let encoding = component.weights.entry(name)?.encoding else { return false }
        return encoding.isScaledFloat && !profile.accepts(encoding)
      }
      if names.isEmpty { continue }
      model.components[index].weights = MultipliedOutSource(
        base: component.weights, multiplied: Set(names))
      model.changes.append(
        ModelChange(
          .changed, component: component.name,
          "\(counted(names.count, "fp8 weight")) with scales multiplied out to f16, because the output "
            + "cannot hold them"))
    }
    return model
  }
}

extension TensorEncoding {
  /// Whether the numbers are floating-point numbers with a scale.
  fileprivate var isScaledFloat: Bool {
    if case .scaled = self { true } else { false }
  }
}

/// Weights of which some are read as float16 numbers.
private struct MultipliedOutSource: WeightSource {
  let base: any WeightSource
  let multiplied: Set<String>

  var location: String { base.location }
  var names: [String] { base.names }

  func entry(_ name: String) -> TensorEntry? {
    guard let entry = base.entry(name), multiplied.contains(name) else { return base.entry(name) }
    return TensorEntry(shape: entry.shape, encoding: .plain(.f16))
  }

  func storedName(_ name: String) -> String { base.storedName(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    guard multiplied.contains(name) else { return tensor }
    return try tensor.half(
      named: name, in: location, from: tensor.encoding.name,
      because: "the output cannot hold it")
  }
}

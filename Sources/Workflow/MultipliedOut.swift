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
      model.components[index].weights = HalfSource(
        component.weights, because: "the output cannot hold it"
      ) { _, entry in entry.encoding.isScaledFloat && !profile.accepts(entry.encoding) }
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

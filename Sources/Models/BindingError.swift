package import ModelSources
package import Support
package import Tensors

/// The reason why Decant cannot work with a model.
package enum BindingError: RemediableError, Equatable {
  /// Components that every model needs are missing.
  ///
  /// `unetIsAverage` states that the file has a moving average of the U-Net and no plain U-Net.
  case missingComponents(location: String, names: [String], found: [String], unetIsAverage: Bool)
  /// A config is invalid or asks for something that Decant cannot run.
  case config(ConfigError)
  /// Tensors are missing, unexpected, misshapen, or of an element kind that weights cannot have.
  case tensors(location: String, [ComponentFaults])
  /// A component is that of a kind of model that Decant does not read.
  case foreign(location: String, component: String, kind: ForeignKind)
  /// Each config is valid, but no family has such components.
  case unknownFamily(
    location: String, nearest: String, differences: [String], remedy: Remedy? = nil)

  package var description: String {
    switch self {
    case .missingComponents(let location, let missing, let found, let unetIsAverage):
      let names = found + (unetIsAverage ? ["a moving average of the unet"] : [])
      let others = names.isEmpty ? "nothing" : names.joined(separator: ", ")
      let subject =
        missing.count == 1
        ? "component '\(missing[0])' is" : "components \(listed(missing.map { "'\($0)'" })) are"
      return "\(location): \(subject) missing; found \(others)"
    case .config(let error):
      return error.description
    case .tensors(let location, let faults):
      let counts = faults.map { "\($0.component) \($0.counts)" }.joined(separator: "; ")
      let lines = faults.flatMap(\.lines).map { "\n  " + $0 }.joined()
      // Configs that were derived from the tensors are no configs of the user's.
      let others = faults.allSatisfy(\.configIsDerived) ? "together" : "the configs"
      return "\(location): tensors do not fit \(others): \(counts)" + lines
    case .foreign(let location, let component, let kind):
      let subject = component == ComponentName.unet ? "the model" : "component '\(component)'"
      return "\(location): \(subject) is \(kind.description)"
    case .unknownFamily(let location, let nearest, let differences, _):
      return "\(location): the components do not make a model such as \(nearest): "
        + differences.joined(separator: "; ")
    }
  }

  package var remedy: Remedy? {
    if case .foreign(_, _, let kind) = self { return .act(kind.remedy) }
    if case .unknownFamily(_, _, _, let remedy) = self { return remedy }
    if case .tensors(_, let faults) = self {
      return faults.contains { $0.codes > 0 } ? .readOriginal : nil
    }
    guard case .missingComponents(_, let missing, _, let unetIsAverage) = self else { return nil }
    if unetIsAverage { return .choose(.ema, purpose: "to read the moving average") }
    return .addComponents(missing.compactMap(ComponentName.setting))
  }
}

/// The tensors of one component that do not fit its config.
package struct ComponentFaults: Equatable, Sendable {
  package struct Missing: Equatable, Sendable {
    package let name: String
    /// The name that the tensor would have in the file, as far as that is known.
    package let storedName: String
    package let shape: Shape
  }

  /// A tensor of another shape than the config implies.
  package struct Misshapen: Equatable, Sendable {
    package let name: String
    /// The name in the file.
    package let storedName: String
    package let found: Shape
    package let expected: Shape
  }

  /// A tensor whose elements cannot be widened to float32.
  package struct Unusable: Equatable, Sendable {
    package let name: String
    /// The name of its encoding.
    package let encoding: String
  }

  /// A tensor that changes what a layer computes in a way that Decant does not know.
  package struct UnknownForm: Equatable, Sendable {
    /// The name in the file.
    package let name: String
    package let shape: Shape
    /// The layer's name: `conv_in`.
    package let layer: String
  }

  package let component: String
  /// Whether the config was derived from tensors.
  package var configIsDerived = false
  package var missing: [Missing] = []
  /// Tensors of layers that the config does not have, and others beside missing tensors.
  package var unexpected: [TensorSpec] = []
  package var misshapen: [Misshapen] = []
  package var unusable: [Unusable] = []
  package var unknownForms: [UnknownForm] = []

  package var isEmpty: Bool {
    missing.isEmpty && unexpected.isEmpty && misshapen.isEmpty && unusable.isEmpty
      && unknownForms.isEmpty
  }

  /// The number of faults of each kind that a message names.
  static let listed = 6

  /// The number of unusable tensors that hold what quantization stores, without the scales to read it.
  var codes: Int { unusable.count { ["i8", "u8"].contains($0.encoding) } }

  var counts: String {
    let counts = [
      (missing.count, "missing"), (unexpected.count, "unexpected"),
      (misshapen.count, "misshapen"), (unusable.count - codes, "unusable"),
      (codes, "of integer codes without scales"),
      (unknownForms.count, "in an unknown storage form"),
    ]
    return counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
  }

  /// One line per fault, at most ``listed`` of each kind.
  var lines: [String] {
    func lines<Fault>(_ faults: [Fault], _ kind: String, _ line: (Fault) -> String) -> [String] {
      let rest = faults.count - Self.listed
      return faults.prefix(Self.listed).map { "\(component): \(kind) \(line($0))" }
        + (rest > 0 ? ["\(component): \(kind) \(rest) more"] : [])
    }
    return lines(missing, "missing") { tensor in
      let hint = nearest(to: tensor, among: unexpected).map { " (did you mean '\(shown($0))'?)" }
      return "'\(shown(tensor.storedName))' \(tensor.shape)" + (hint ?? "")
    }
      + lines(unexpected, "unexpected") {
        "'\(shown($0.name))' \(shown($0.shape.description))"
      }
      + lines(misshapen, "misshapen") {
        let stored = $0.storedName == $0.name ? "" : " ('\(shown($0.storedName))' in the file)"
        let found = shown($0.found.description)
        return "'\($0.name)'\(stored): found \(found), expected \($0.expected)"
      }
      + lines(unusable, "unusable") {
        "'\($0.name)': weights cannot be of kind \($0.encoding)"
      }
      + lines(unknownForms, "unknown storage form") {
        "of layer '\(shown($0.layer))': found '\(shown($0.name))' "
          + "\(shown($0.shape.description)) beside its weight"
      }
  }
}

/// The candidate with the most similar name, if it is similar enough. Only candidates of the same
/// shape count where there are any.
private func nearest(to tensor: ComponentFaults.Missing, among candidates: [TensorSpec]) -> String?
{
  let sameShape = candidates.filter { $0.shape == tensor.shape }
  // The limit bounds the time for files with many tensors.
  let pool = (sameShape.isEmpty ? candidates : sameShape).prefix(500)
  return nearestNames(
    to: tensor.name, among: pool.map(\.name), count: 1, within: tensor.name.utf8.count / 3
  ).first
}

import Formats
import ModelSources
package import Support
import Tensors

/// A form in which a quantization back end of diffusers stores the weights of a component, and which
/// Decant reads. A new form is one file with a type that conforms to this protocol, and one line in
/// ``QuantizedForms/all``.
protocol QuantizedForm: Sendable {
  /// The value of `quant_method` in the component's config.
  var method: String { get }

  /// What is read, for messages: `'sdnq' with 'weights_dtype' 'int8'`.
  var readable: String { get }

  /// The weights in encodings of Decant.
  ///
  /// - Parameters:
  ///   - description: ``DiffusersLayout/quantizationMember`` of the component's config.
  ///   - path: the file that messages name.
  /// - Throws: ``DiffusersError/quantized(path:found:expected:)`` for weights that are not
  ///   ``readable``, and ``WeightError`` for tensors that do not fit the form.
  func restored(
    _ weights: any WeightSource, described description: JSONObject, path: String
  ) throws -> any WeightSource
}

/// A form in which a program stores quantized weights in a file of named tensors, and which Decant
/// reads. A new form is one file with a type that conforms to this protocol, and one line in
/// ``QuantizedForms/ofFiles``.
protocol QuantizedFileForm: Sendable {
  /// The weights in encodings of Decant; `nil` for a file without this form.
  ///
  /// - Throws: ``WeightError`` for tensors that do not fit the form, and ``QuantizedFormError``.
  func restored(_ weights: any WeightSource, path: String) throws -> (any WeightSource)?
}

/// The quantized forms that Decant reads.
enum QuantizedForms {
  static let all: [any QuantizedForm] = [
    SDNQForm()
  ]

  static let ofFiles: [any QuantizedFileForm] = [
    ComfyUIForm(),
    ScaledForm(),
  ]

  /// The weights of a file without quantized forms, of which it may have several. Plain files do not
  /// change.
  ///
  /// - Parameters:
  ///   - metadata: the metadata of the file's header.
  ///   - component: the component that the file holds, if it is known.
  /// - Throws: ``QuantizedFormError`` for a form that is not read, and ``WeightError`` for tensors
  ///   that do not fit a form.
  static func restored(
    _ weights: any WeightSource, metadata: JSONObject, of component: String? = nil, path: String
  ) throws -> (weights: any WeightSource, changes: [ModelChange]) {
    if let (form, tensor) = ForeignForms.form(of: weights.names) {
      throw QuantizedFormError.unread(path: path, form: form.name, tensor: tensor)
    }
    var restored = try DescribedSource(weights, metadata: metadata, path: path) ?? weights
    for form in ofFiles { restored = try form.restored(restored, path: path) ?? restored }
    return (restored, changes(from: weights, to: restored, component))
  }

  /// A form that a component's config describes.
  typealias Described = (form: any QuantizedForm, description: JSONObject)

  /// The form that a component's config describes; `nil` for one without a description.
  ///
  /// - Throws: ``DiffusersError/quantized(path:found:expected:)`` for a form that is not read.
  static func described(
    by config: JSONObject, path: String
  ) throws(DiffusersError) -> Described? {
    guard let written = config[DiffusersLayout.quantizationMember], !written.isNull else {
      return nil
    }
    let method = written.object?["quant_method"]?.string
    guard let description = written.object, let form = all.first(where: { $0.method == method })
    else {
      let name = method.map { method in
        ForeignForms.form(method: method)?.name ?? "'\(shown(method))'"
      }
      throw .quantized(
        path: path,
        found: name
          ?? (written.object == nil
            ? "an unknown method ('\(DiffusersLayout.quantizationMember)' is \(written.kind))"
            : "an unknown method ('quant_method' is missing)"),
        expected: all.map(\.readable).joined(separator: " or "))
    }
    return (form, description)
  }

  /// The config and weights of a component without quantized forms. Plain components do not change.
  ///
  /// - Parameters:
  ///   - described: what the config describes, see ``described(by:path:)``.
  ///   - path: the path of the config.
  /// - Throws: the errors of the form and of ``restored(_:metadata:of:path:)``.
  static func restored(
    _ config: JSONObject, _ weights: any WeightSource, described: Described?,
    of component: String, path: String
  ) throws -> (config: JSONObject, weights: any WeightSource, changes: [ModelChange]) {
    guard let (form, description) = described else {
      // What the files' headers describe is in the weights, since the files were opened.
      let (restored, changes) = try restored(
        weights, metadata: [:], of: component, path: weights.location)
      return (config, restored, changes)
    }
    var plain = config
    plain[DiffusersLayout.quantizationMember] = nil
    let restored = try form.restored(weights, described: description, path: path)
    return (plain, restored, changes(from: weights, to: restored, component))
  }

  /// What reading changed: codes that no encoding holds became numbers, and tensors that only some
  /// programs use were left out.
  private static func changes(
    from weights: any WeightSource, to restored: any WeightSource, _ component: String?
  ) -> [ModelChange] {
    var multiplied: [(encodings: String, names: [String])] = []
    for name in restored.names {
      guard let old = weights.entry(name)?.encoding, let new = restored.entry(name)?.encoding,
        !new.isQuantized, old != new || ScaledForm.scales(name, in: weights)
      else { continue }
      let encodings =
        old == new
        ? "of \(new.name) multiplied by the scales beside them"
        : "from \(old.name) codes to \(new.name) numbers"
      if let index = multiplied.firstIndex(where: { $0.encodings == encodings }) {
        multiplied[index].names.append(name)
      } else {
        multiplied.append((encodings, [name]))
      }
    }
    var changes = multiplied.map {
      ModelChange(
        .changed, component: component,
        "\(counted($0.names.count, "weight")) \($0.encodings)", names: $0.names)
    }
    let unscaled = unscaled(restored, in: weights)
    if !unscaled.isEmpty {
      changes.append(
        ModelChange(
          .assumed, component: component,
          "\(counted(unscaled.count, "float8 weight")) without a scale, in a file that has scales, "
            + "are read as plain numbers", names: unscaled))
    }
    let kept = Set(restored.names)
    let inputs = weights.names.filter { !kept.contains($0) && ScaledForm.isInputScale($0) }
    if !inputs.isEmpty {
      changes.append(
        ModelChange(
          .leftOut, component: component,
          "\(counted(inputs.count, "scale")) of activations, which only programs that compute in "
            + "float8 use", names: inputs))
    }
    return changes
  }
}

extension QuantizedForms {
  /// Float8 weights of layers that have no scale, where the file has scales of others.
  private static func unscaled(
    _ restored: any WeightSource, in weights: any WeightSource
  ) -> [String] {
    guard ScaledForm.marks(weights) else { return [] }
    return restored.names.filter { name in
      guard let entry = restored.entry(name), case .plain(let kind) = entry.encoding else {
        return false
      }
      return (kind == .f8e4m3 || kind == .f8e5m2) && entry.shape.rank >= 2
    }
  }
}

/// Quantized weights in a form that Decant does not read.
package enum QuantizedFormError: RemediableError, Equatable {
  /// `tensor` shows the form.
  case unread(path: String, form: String, tensor: String)
  /// The member of a file's metadata that describes its quantized layers describes none.
  case malformed(path: String, member: String)

  package var description: String {
    switch self {
    case .unread(let path, let form, let tensor):
      "\(path): the weights are in a quantized form that Decant does not read: \(form) (tensor "
        + "'\(shown(tensor))')"
    case .malformed(let path, let member):
      "\(path): the metadata's '\(member)' is not a JSON text with an object 'layers'"
    }
  }

  package var remedy: Remedy? { .readOriginal }
}

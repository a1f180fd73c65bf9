import ModelSources
import Support

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
  ///   ``readable``.
  func restored(
    _ weights: any WeightSource, described description: JSONObject, path: String
  ) throws(DiffusersError) -> any WeightSource
}

/// A form in which a program stores quantized weights in a file of named tensors, and which Decant
/// reads. A new form is one file with a type that conforms to this protocol, and one line in
/// ``QuantizedForms/ofFiles``.
protocol QuantizedFileForm: Sendable {
  /// The weights in encodings of Decant; `nil` for a file without this form.
  ///
  /// - Throws: ``WeightError`` for tensors that do not fit the form.
  func restored(_ weights: any WeightSource, path: String) throws -> (any WeightSource)?
}

/// The quantized forms that Decant reads.
enum QuantizedForms {
  static let all: [any QuantizedForm] = [
    SDNQForm()
  ]

  static let ofFiles: [any QuantizedFileForm] = [
    ComfyUIForm()
  ]

  /// The weights of a file without a quantized form. Plain files do not change.
  static func restored(_ weights: any WeightSource, path: String) throws -> any WeightSource {
    for form in ofFiles {
      if let restored = try form.restored(weights, path: path) { return restored }
    }
    return weights
  }

  /// The config and weights of a component without a quantized form. Plain components do not change.
  ///
  /// - Throws: ``DiffusersError/quantized(path:found:expected:)`` for a form that is not read.
  static func restored(
    _ config: JSONObject, _ weights: any WeightSource, path: String
  ) throws(DiffusersError) -> (config: JSONObject, weights: any WeightSource) {
    let member = DiffusersLayout.quantizationMember
    guard let written = config[member], !written.isNull else { return (config, weights) }
    let method = written.object?["quant_method"]?.string
    guard let description = written.object, let form = all.first(where: { $0.method == method })
    else {
      throw .quantized(
        path: path, found: method.map { "'\(shown($0))'" } ?? written.kind,
        expected: all.map(\.readable).joined(separator: " or "))
    }
    var plain = config
    plain[member] = nil
    return (plain, try form.restored(weights, described: description, path: path))
  }
}

private import Foundation
internal import ModelSources
internal import Support

/// The training settings of an adapter, which determine its strength. diffusers stores them in the
/// file's header (`lora_adapter_metadata`), PEFT in `adapter_config.json` beside the file.
struct AdapterSettings {
  private let location: String
  private let members: JSONObject

  /// - Parameter metadata: the metadata of the file.
  /// - Throws: ``AdapterError`` for settings that cannot be read.
  init?(of path: String, metadata: JSONObject) throws {
    if let text = metadata["lora_adapter_metadata"]?.string {
      location = path
      members = try Self.parsed(text, path)
      return
    }
    let config = PathParts(path).sibling("adapter_config.json")
    guard let bytes = try? ByteSlice.mapping(config) else { return nil }
    guard let text = String(validating: bytes.withoutByteOrderMark.array, as: UTF8.self) else {
      throw AdapterError.settings(path: config, found: "invalid UTF-8")
    }
    location = config
    members = try Self.parsed(text, config)
  }

  /// The alpha of all modules.
  var alpha: Double? { (first("lora_alpha") ?? first("alpha"))?.number }

  /// The model that the adapter was trained for.
  var baseModel: String? { first("base_model_name_or_path")?.string }

  /// PEFT's name of the method. The names of tensors do not determine it, because several methods
  /// use those of LoRA.
  var peftType: String? { first("peft_type")?.string }

  /// A member of PEFT's settings, or of the first component that has it in diffusers' settings.
  private func first(_ name: String) -> JSONValue? {
    members[name]
      ?? ([ComponentName.unet] + ComponentName.textEncoders).lazy
      .compactMap { members["\($0).\(name)"] }.first
  }

  /// The error for a module that PEFT's method does not allow to merge; `nil` where it does.
  ///
  /// - Parameter kinds: the kinds of the module's tensors, derived from their names.
  func refusal(of key: String, kinds: [any AdapterKind]) -> AdapterError? {
    guard let type = peftType else { return nil }
    guard AdapterKinds.peftTypes.contains(type) else {
      return .method(path: location, found: type, known: AdapterKinds.peftTypes)
    }
    let own = kinds.filter { $0.peftType != nil }
    guard let kind = own.first, !own.contains(where: { $0.peftType == type }) else { return nil }
    return .methodOfOthers(path: location, found: type, module: key, kind: kind.name)
  }

  private static func parsed(_ text: String, _ path: String) throws(AdapterError) -> JSONObject {
    guard let object = (try? JSONValue(parsing: text))?.object else {
      throw .settings(path: path, found: "no JSON object")
    }
    return object
  }

  /// The factor of a module's product: `alpha / rank`, or `alpha / sqrt(rank)` for rank-stabilized
  /// LoRA (Kalajdzievski, 2023); `nil` without an alpha.
  ///
  /// - Parameter key: the module's name in the file, with or without its component.
  func factor(of key: String, rank: Int) throws(AdapterError) -> Float? {
    // diffusers stores the settings of all components in one object, with the component as a
    // prefix.
    let component = ([ComponentName.unet] + ComponentName.textEncoders).first {
      key.hasPrefix($0 + ".")
    }
    let prefix = component.flatMap { members[$0 + ".lora_alpha"] == nil ? nil : $0 + "." } ?? ""
    if members[prefix + "use_dora"]?.bool == true {
      throw .unsupported(path: location, kind: "DoRA", tensor: key)
    }
    // PEFT's LoHa has `alpha`.
    let standard = members[prefix + "lora_alpha"] ?? members[prefix + "alpha"]
    guard let standard else { return nil }
    var alpha = standard
    for (pattern, value) in members[prefix + "alpha_pattern"]?.object?.members ?? []
    where try Self.matches(pattern, key, location) {
      alpha = value
      break
    }
    guard let number = alpha.number, number.isFinite else {
      throw .settings(path: location, found: "an alpha that is not a number")
    }
    let divisor = Double(max(1, rank))
    let isStabilized = members[prefix + "use_rslora"]?.bool == true
    return Float(number / (isStabilized ? divisor.squareRoot() : divisor))
  }

  /// PEFT's rule: a pattern is a regular expression for the end of a module's name. Patterns with
  /// nested repetitions or many alternatives are refused, because matching them may never end.
  private static func matches(
    _ pattern: String, _ key: String, _ location: String
  ) throws(AdapterError) -> Bool {
    guard pattern.utf8.count <= 512, pattern.count(where: { "*+{".contains($0) }) <= 3,
      !pattern.contains(#/\)[*+{]/#)
    else {
      throw .settings(path: location, found: "the pattern '\(shown(pattern))'")
    }
    guard let expression = try? NSRegularExpression(pattern: "^(.*\\.)?(?:\(pattern))$") else {
      throw .settings(path: location, found: "the pattern '\(shown(pattern))'")
    }
    return expression.firstMatch(
      in: key, range: NSRange(key.startIndex..., in: key)) != nil
  }
}

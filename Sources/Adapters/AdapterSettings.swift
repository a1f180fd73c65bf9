private import Foundation
internal import ModelSources
internal import Support

/// What a program that trained adapters says beside their tensors of how strongly they act: diffusers
/// in the header of the file (`lora_adapter_metadata`), PEFT in `adapter_config.json` beside it.
struct AdapterSettings {
  private let location: String
  private let members: JSONObject

  /// - Parameter metadata: what the file says of itself.
  /// - Throws: ``AdapterError`` for settings that cannot be read.
  init?(of path: String, metadata: JSONObject) throws {
    if let text = metadata["lora_adapter_metadata"]?.string {
      location = path
      members = try Self.parsed(text, path)
      return
    }
    let config = PathParts(path).sibling("adapter_config.json")
    guard let bytes = try? ByteSlice.mapping(config) else { return nil }
    guard let text = String(validating: bytes.array, as: UTF8.self) else {
      throw AdapterError.settings(path: config, found: "no text in UTF-8")
    }
    location = config
    members = try Self.parsed(text, config)
  }

  /// What is said of all modules together.
  var alpha: Double? { (first("lora_alpha") ?? first("alpha"))?.number }

  /// The model that was adapted.
  var baseModel: String? { first("base_model_name_or_path")?.string }

  /// PEFT's name of the method, of which names of tensors alone do not tell: some share LoRA's.
  var peftType: String? { first("peft_type")?.string }

  /// A member as PEFT has it, or of the first component that diffusers has it of.
  private func first(_ name: String) -> JSONValue? {
    members[name]
      ?? ([ComponentName.unet] + ComponentName.textEncoders).lazy
      .compactMap { members["\($0).\(name)"] }.first
  }

  /// Why a module is not merged as PEFT's method says; `nil` where it is.
  ///
  /// - Parameter kinds: what its tensors are, by their names.
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

  /// The share with which the product of a module is added, `alpha / rank` or, where so trained,
  /// `alpha / sqrt(rank)` (Kalajdzievski, 2023); `nil` where nothing is said of it.
  ///
  /// - Parameter key: the file's name of the module, with or without its component.
  func share(of key: String, rank: Int) throws(AdapterError) -> Float? {
    // diffusers writes the settings of all components side by side, a name before each.
    let component = ([ComponentName.unet] + ComponentName.textEncoders).first {
      key.hasPrefix($0 + ".")
    }
    let prefix = component.flatMap { members[$0 + ".lora_alpha"] == nil ? nil : $0 + "." } ?? ""
    if members[prefix + "use_dora"]?.bool == true {
      throw .unsupported(path: location, kind: "DoRA", tensor: key)
    }
    // PEFT's LoHa says `alpha`.
    let standard = members[prefix + "lora_alpha"] ?? members[prefix + "alpha"]
    guard let standard else { return nil }
    var alpha = standard
    for (pattern, value) in members[prefix + "alpha_pattern"]?.object?.members ?? []
    where try Self.matches(pattern, key, location) {
      alpha = value
      break
    }
    guard let number = alpha.number, number.isFinite else {
      throw .settings(path: location, found: "an alpha that is no number")
    }
    let divisor = Double(max(1, rank))
    let isStabilized = members[prefix + "use_rslora"]?.bool == true
    return Float(number / (isStabilized ? divisor.squareRoot() : divisor))
  }

  /// PEFT's rule: a pattern is a regular expression for the end of a module's name. One that repeats
  /// what repeats, or has much to choose from, is refused: some of those never end.
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

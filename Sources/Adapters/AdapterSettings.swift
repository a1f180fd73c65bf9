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
    guard isFile(config) else { return nil }
    let bytes = try ByteSlice.mapping(config)
    location = config
    do {
      members = try Self.parsed(String(fileText: bytes.withoutByteOrderMark.array), config)
    } catch let fault as TextFault {
      throw AdapterError.settings(path: config, found: fault.description, expected: "UTF-8 text")
    }
  }

  /// The alpha and the rank where PEFT's settings state none: the defaults of `LoraConfig`,
  /// `LoHaConfig` and `LoKrConfig`.
  private static let standard = JSONValue.integer(8)

  /// The alpha of all modules.
  var alpha: Double? {
    (first("lora_alpha") ?? first("alpha") ?? standard(peftType))?.number
  }

  /// PEFT's default of alpha and rank; `nil` where its settings do not name a method that has it.
  private func standard(_ type: String?) -> JSONValue? {
    // A `nil` literal would be JSON's null.
    guard let type, AdapterKinds.peftTypes.contains(type) else { return Optional.none }
    return Self.standard
  }

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
    let value: JSONValue
    do { value = try JSONValue(parsing: text) } catch {
      throw .settings(path: path, found: "invalid JSON: \(error)")
    }
    guard let object = value.object else { throw .settings(path: path, found: value.kind) }
    return object
  }

  /// Whether the settings say that a module uses DoRA.
  ///
  /// - Parameter module: the module's name, with or without its component.
  func usesDoRA(_ module: String) -> Bool { members[prefix(of: module) + "use_dora"]?.bool == true }

  /// The prefix of the members that concern a module. diffusers stores the settings of all
  /// components in one object, with the component as a prefix.
  private func prefix(of module: String) -> String {
    ([ComponentName.unet] + ComponentName.textEncoders).map { $0 + "." }.first { component in
      module.hasPrefix(component)
        && ["lora_alpha", "alpha", "peft_type"].contains { members[component + $0] != nil }
    } ?? ""
  }

  /// The alpha of a module, from a pattern, the settings or PEFT's default; `nil` without one.
  ///
  /// - Parameter module: the module's name, with or without its component.
  func alpha(of module: String) throws(AdapterError) -> Double? {
    let prefix = prefix(of: module)
    // PEFT's LoHa and LoKr have `alpha`.
    let alpha =
      try value(for: module, in: members[prefix + "alpha_pattern"]?.object)
      ?? members[prefix + "lora_alpha"] ?? members[prefix + "alpha"]
      ?? standard(members[prefix + "peft_type"]?.string)
    guard let alpha else { return nil }
    guard let number = alpha.number, number.isFinite else {
      throw .settings(
        path: location, found: "the alpha of module '\(shown(module))' is \(shown(alpha.text()))",
        expected: "a finite number")
    }
    return number
  }

  /// The factor of a module's product: `alpha / rank`, or `alpha / sqrt(rank)` for rank-stabilized
  /// LoRA (Kalajdzievski, 2023); `nil` without an alpha.
  ///
  /// - Parameters:
  ///   - module: the module's name, with or without its component.
  ///   - rank: `nil` for that of the settings.
  func factor(of module: String, rank: Int?) throws(AdapterError) -> Float? {
    let prefix = prefix(of: module)
    guard let alpha = try alpha(of: module) else { return nil }
    var divisor = Double(max(1, rank ?? 1))
    if rank == nil {
      let rank =
        try value(for: module, in: members[prefix + "rank_pattern"]?.object)
        ?? members[prefix + "r"] ?? standard(members[prefix + "peft_type"]?.string)
      guard let number = rank?.integer, number > 0 else {
        throw .settings(
          path: location,
          found:
            "the rank of module '\(shown(module))' is \(rank.map { shown($0.text()) } ?? "absent")",
          expected: "an integer above 0")
      }
      divisor = Double(number)
    }
    let isStabilized = members[prefix + "use_rslora"]?.bool == true
    return Float(alpha / (isStabilized ? divisor.squareRoot() : divisor))
  }

  /// The value of the first pattern that matches a module.
  private func value(
    for module: String, in patterns: JSONObject?
  ) throws(AdapterError) -> JSONValue? {
    for (pattern, value) in patterns?.members ?? []
    where try Self.matches(pattern, module, location) {
      return value
    }
    return nil
  }

  /// The most bytes and repetitions of a pattern.
  private static let longestPattern = 512
  private static let mostRepetitions = 3

  /// PEFT's rule: a pattern is a regular expression for the end of a module's name. Patterns with
  /// nested repetitions or many alternatives are refused, because matching them may never end.
  private static func matches(
    _ pattern: String, _ key: String, _ location: String
  ) throws(AdapterError) -> Bool {
    guard pattern.utf8.count <= longestPattern,
      pattern.count(where: { "*+{".contains($0) }) <= mostRepetitions,
      !pattern.contains(#/\)[*+{]/#)
    else {
      throw .pattern(
        path: location, pattern: pattern,
        fault: "is too complex to match safely; expected at most \(longestPattern) bytes and "
          + "\(mostRepetitions) repetitions, none of them of a group")
    }
    guard let expression = try? NSRegularExpression(pattern: "^(.*\\.)?(?:\(pattern))$") else {
      throw .pattern(path: location, pattern: pattern, fault: "is not a regular expression")
    }
    return expression.firstMatch(
      in: key, range: NSRange(key.startIndex..., in: key)) != nil
  }
}

import ModelSources
import Support

/// The settings of an SDNQ component: its `quantization_config`.
///
///     weights_dtype          the type of weights that no other member names
///     modules_quant_config   settings by weight: {PATTERN: {SETTING: value}}
///     modules_dtype_dict     weights by type: {TYPE: [PATTERN]}, or {"minimum_6bit": [PATTERN]}
///
/// Source: SDNQ 0.2.8, `get_quant_kwargs` in utils.py.
struct SDNQSettings {
  let description: JSONObject

  /// The settings of one weight, with its own `weights_dtype`.
  func settings(of weight: String) -> JSONObject {
    var settings = description
    let parts = Set(weight.split(separator: "."))
    if let own = description[SDNQGroups.configMember]?.object?.members.first(where: {
      Self.matches($0.key, weight, parts)
    }) {
      for (name, value) in own.value.object?.members ?? [] { settings[name] = value }
    }
    let type = settings["weights_dtype"]?.string ?? "int8"
    settings["weights_dtype"] = .string(self.type(of: weight, parts, otherwise: type))
    return settings
  }

  private func type(
    of weight: String, _ parts: Set<Substring>, otherwise type: String
  ) -> String {
    for (key, value) in description["modules_dtype_dict"]?.object?.members ?? [] {
      let patterns = value.array?.compactMap(\.string) ?? value.string.map { [$0] } ?? []
      guard patterns.contains(where: { Self.matches($0, weight, parts) }) else { continue }
      let key = key.lowercased()
      guard key.hasPrefix("minimum") || key.hasSuffix("bit") || key.hasSuffix("bits") else {
        return key
      }
      guard let bits = Self.bits(key), Self.bits(type) ?? bits < bits else { continue }
      return (key.contains("uint") || bits <= 4 ? "uint" : "int") + "\(bits)"
    }
    return type
  }

  /// The first number in the name of a type: 8 in `float8_e4m3fn`.
  private static func bits(_ name: String) -> Int? {
    Int(name.drop { !$0.isNumber }.prefix { $0.isNumber })
  }

  /// Whether a pattern names a weight: all of its name or a part between dots; after a dot, its
  /// beginning; or its beginning with `*` for any text.
  private static func matches(_ pattern: String, _ weight: String, _ parts: Set<Substring>) -> Bool
  {
    if pattern.hasPrefix(".") { return weight.hasPrefix(pattern.dropFirst()) }
    if pattern == weight || parts.contains(pattern[...]) { return true }
    return pattern.contains("*") && wildcard(Array(pattern.utf8), Array(weight.utf8))
  }

  /// Whether `text` begins with `pattern`, in which `*` stands for any text and `.` for any
  /// character, or for a dot before `*`.
  private static func wildcard(_ pattern: [UInt8], _ text: [UInt8]) -> Bool {
    let (star, dot) = (UInt8(ascii: "*"), UInt8(ascii: "."))
    let pattern = pattern + [star]
    var (place, index) = (0, 0)
    var retry: (place: Int, index: Int)?
    while index < text.count {
      if place < pattern.count, pattern[place] == star {
        place += 1
        retry = (place, index)
        if place == pattern.count { return true }
      } else if pattern[place] == text[index]
        || pattern[place] == dot && (place + 1 == pattern.count || pattern[place + 1] != star)
      {
        place += 1
        index += 1
      } else if let last = retry {
        retry = (last.place, last.index + 1)
        (place, index) = (last.place, last.index + 1)
      } else {
        return false
      }
    }
    return pattern[place...].allSatisfy { $0 == star }
  }
}

import Support

/// The shape of a JSON value. Requests are checked with it, and the OpenAPI document is made of it, so
/// that they cannot disagree.
indirect enum Schema: Sendable {
  case any
  case boolean
  case integer(ClosedRange<Int>, multipleOf: Int = 1)
  case number(ClosedRange<Double>)
  /// A text of at most so many Unicode scalars.
  case string(most: Int = .max)
  /// A value of a list.
  case values([JSONValue])
  case array(of: Schema, ClosedRange<Int> = 0...Int.max)
  /// Members by name. An open object may have further members, which have no effect.
  case object([Member], isOpen: Bool = false)
  case nullable(Schema)
  /// A value of any of the schemas.
  case either([Schema])

  /// A member of an object.
  struct Member: Sendable {
    let name: String
    let schema: Schema
    let isRequired: Bool
    /// What the member means, for the OpenAPI document.
    let about: String
    let standard: JSONValue?

    static func required(_ name: String, _ schema: Schema, _ about: String = "") -> Member {
      Member(name: name, schema: schema, isRequired: true, about: about, standard: nil)
    }

    static func optional(
      _ name: String, _ schema: Schema, _ about: String = "", default standard: JSONValue? = nil
    ) -> Member {
      Member(name: name, schema: schema, isRequired: false, about: about, standard: standard)
    }
  }

  /// A choice of names.
  static func names(_ names: [String]) -> Schema { .values(names.map { .string($0) }) }

  // MARK: - Checking

  /// Checks a value.
  ///
  /// - Parameter place: the name of the value in messages: `size`, `models[1]`; empty for the body.
  /// - Throws: ``RequestError`` with the first difference.
  func check(_ value: JSONValue, at place: String = "") throws(RequestError) {
    switch self {
    case .any: return
    case .nullable(let schema): if !value.isNull { try schema.check(value, at: place) }
    case .either(let schemas):
      if schemas.contains(where: { $0.matches(value) }) { return }
      throw mismatch(value, place)
    case .array(let schema, let counts):
      guard let elements = value.array, counts.contains(elements.count) else {
        throw mismatch(value, place)
      }
      for (index, element) in elements.enumerated() {
        try schema.check(element, at: "\(place)[\(index)]")
      }
    case .object(let members, let isOpen):
      guard let object = value.object else { throw mismatch(value, place) }
      try Self.check(object, members, isOpen: isOpen, at: place)
    case .boolean, .integer, .number, .string, .values:
      if !matches(value) { throw mismatch(value, place) }
    }
  }

  private static func check(
    _ object: JSONObject, _ members: [Member], isOpen: Bool, at place: String
  ) throws(RequestError) {
    let prefix = place.isEmpty ? "" : place + "."
    for member in members {
      if let value = object[member.name] {
        try member.schema.check(value, at: prefix + member.name)
      } else if member.isRequired {
        throw RequestError(
          .unprocessable, "\(prefix)\(member.name) is missing", parameter: prefix + member.name)
      }
    }
    let names = members.map(\.name)
    if !isOpen, let unknown = object.keys.first(where: { !names.contains($0) }) {
      throw RequestError(
        .unprocessable,
        "\(prefix)\(shown(unknown)) is unknown\(didYouMean(similarNames(to: unknown, among: names)))",
        parameter: prefix + unknown)
    }
  }

  private func matches(_ value: JSONValue) -> Bool {
    switch self {
    case .boolean: return value.bool != nil
    case .integer(let range, let factor):
      guard let integer = value.integer else { return false }
      return range.contains(integer) && integer % factor == 0
    case .number(let range): return value.number.map(range.contains) ?? false
    case .string(let most): return value.string.map { $0.unicodeScalars.count <= most } ?? false
    case .values(let values):
      // `3` and `3.0` are the same number.
      return values.contains { $0 == value || ($0.number != nil && $0.number == value.number) }
    case .any, .array, .object, .nullable, .either:
      do {
        try check(value)
        return true
      } catch { return false }
    }
  }

  private func mismatch(_ value: JSONValue, _ place: String) -> RequestError {
    let name = place.isEmpty ? "the body" : place
    let text = shown(value.text(), limit: 80)
    return RequestError(
      .unprocessable, "\(name) is \(text), expected \(expectation)",
      parameter: place.isEmpty ? nil : place)
  }

  /// What a value must be, in words.
  private var expectation: String {
    switch self {
    case .any: return "any value"
    case .boolean: return "true or false"
    case .integer(let range, let factor):
      return (factor == 1 ? "a whole number" : "a multiple of \(factor)")
        + " from \(range.lowerBound) to \(range.upperBound)"
    case .number(let range):
      return "a number from \(formatted(range.lowerBound, digits: 3)) to "
        + formatted(range.upperBound, digits: 3)
    case .string(let most): return most == .max ? "a text" : "a text of at most \(most) characters"
    case .values(let values): return alternatives(values.map { $0.text() }, limit: 20)
    case .array(let schema, let counts):
      let bounds =
        counts == 0...Int.max ? "" : " of \(counts.lowerBound) to \(counts.upperBound) elements"
      return "an array\(bounds), each \(schema.expectation)"
    case .object: return "an object"
    case .nullable(let schema): return schema.expectation + " or null"
    case .either(let schemas): return alternatives(schemas.map(\.expectation))
    }
  }

  // MARK: - Describing

  /// The schema in JSON Schema (2020-12), as OpenAPI 3.1 has it.
  var json: JSONValue { .object(described) }

  private var described: JSONObject {
    switch self {
    case .any: return [:]
    case .boolean: return ["type": "boolean"]
    case .integer(let range, let factor):
      var object: JSONObject = [
        "type": "integer", "minimum": .integer(range.lowerBound),
        "maximum": .integer(range.upperBound),
      ]
      if factor > 1 { object["multipleOf"] = .integer(factor) }
      return object
    case .number(let range):
      var object: JSONObject = ["type": "number"]
      if range.lowerBound.isFinite { object["minimum"] = .number(range.lowerBound) }
      if range.upperBound.isFinite { object["maximum"] = .number(range.upperBound) }
      return object
    case .string(let most):
      var object: JSONObject = ["type": "string"]
      if most < .max { object["maxLength"] = .integer(most) }
      return object
    case .values(let values): return ["enum": .array(values)]
    case .array(let schema, let counts):
      var object: JSONObject = ["type": "array", "items": schema.json]
      if counts.lowerBound > 0 { object["minItems"] = .integer(counts.lowerBound) }
      if counts.upperBound < .max { object["maxItems"] = .integer(counts.upperBound) }
      return object
    case .object(let members, let isOpen):
      let required = members.filter(\.isRequired).map(\.name)
      var object: JSONObject = ["type": "object"]
      object["properties"] = .object(
        JSONObject(members.map { ($0.name, .object($0.described)) }))
      if !required.isEmpty { object["required"] = .strings(required) }
      if !isOpen { object["additionalProperties"] = false }
      return object
    case .nullable(let schema): return ["anyOf": [schema.json, ["type": "null"]]]
    case .either(let schemas): return ["anyOf": .array(schemas.map(\.json))]
    }
  }
}

extension Schema.Member {
  /// The member's schema with its description and default.
  fileprivate var described: JSONObject {
    var object = schema.json.object ?? [:]
    if !about.isEmpty { object["description"] = .string(about) }
    if let standard { object["default"] = standard }
    return object
  }
}

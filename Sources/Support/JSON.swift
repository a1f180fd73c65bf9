/// A JSON value.
///
/// It keeps the order of members, and distinguishes integers from other numbers and null from an
/// absent member. Foundation's parsers keep none of these and silently drop duplicate names, for
/// which the readers of model formats must reject a file.
package enum JSONValue: Hashable, Sendable {
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  package var isNull: Bool { self == .null }

  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

  /// The number as an integer, if its value is whole (`3` and `3.0` are).
  package var integer: Int? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }

  package var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  package var string: String? { if case .string(let value) = self { value } else { nil } }

  package var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }

  package var object: JSONObject? { if case .object(let value) = self { value } else { nil } }

  /// An array of integers.
  package static func integers(_ values: some Sequence<Int>) -> JSONValue {
    .array(values.map(JSONValue.integer))
  }

  /// An array of strings.
  package static func strings(_ values: some Sequence<String>) -> JSONValue {
    .array(values.map(JSONValue.string))
  }

  /// The kind of value, as messages name it.
  package var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a Boolean"
    case .integer, .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

/// The members of a JSON object, in the order in which they were written.
package struct JSONObject: Sendable {
  package typealias Member = (key: String, value: JSONValue)

  package private(set) var members: [Member] = []
  /// The index of each member by its name; empty for few members, which are searched in order. A
  /// dictionary for each small object would take several times the memory.
  private var places: [String: Int] = [:]
  /// The most members that are searched in order.
  private static let fewMembers = 8

  package init() {}

  package init(_ members: [(String, JSONValue)]) {
    for (key, value) in members { self[key] = value }
  }

  /// The names of the members.
  package var keys: [String] { members.map(\.key) }

  package var count: Int { members.count }

  package var isEmpty: Bool { members.isEmpty }

  /// The member's value: `.null` when it is written as null, `nil` when it is absent.
  ///
  /// Assigning `nil` removes the member. A new member is appended.
  package subscript(key: String) -> JSONValue? {
    get { place(of: key).map { members[$0].value } }
    set {
      switch (place(of: key), newValue) {
      case (let place?, let value?): members[place].value = value
      case (let place?, nil):
        members.remove(at: place)
        if !places.isEmpty { findPlaces() }
      case (nil, let value?):
        members.append((key, value))
        if !places.isEmpty {
          places[key] = members.count - 1
        } else if members.count > Self.fewMembers {
          findPlaces()
        }
      case (nil, nil): break
      }
    }
  }

  private func place(of key: String) -> Int? {
    places.isEmpty ? members.firstIndex { $0.key == key } : places[key]
  }

  private mutating func findPlaces() {
    places = [:]
    for (index, member) in members.enumerated() { places[member.key] = index }
  }
}

extension JSONObject: Hashable {
  package static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.members.elementsEqual(b.members) { $0.key == $1.key && $0.value == $1.value }
  }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(members.count)
    for (key, value) in members {
      hasher.combine(key)
      hasher.combine(value)
    }
  }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  package init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int) { self = .integer(value) }
  package init(floatLiteral value: Double) { self = .number(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }
  package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  package init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(elements))
  }
  package init(nilLiteral: ()) { self = .null }
}

// MARK: - Writing

extension JSONValue {
  /// The value as JSON text: on one line, or with a line for each member and `indent` spaces a
  /// level.
  ///
  /// NaN and infinities, which JSON cannot represent, are written as null.
  package func text(indent: Int? = nil) -> String {
    var output = ""
    write(to: &output, indent: indent, depth: 0)
    return output
  }

  private func write(to output: inout String, indent: Int?, depth: Int) {
    func line(_ depth: Int) {
      guard let indent else { return }
      output += "\n" + String(repeating: " ", count: indent * depth)
    }
    switch self {
    case .null: output += "null"
    case .bool(let value): output += value ? "true" : "false"
    case .integer(let value): output += String(value)
    case .number(let value): output += value.isFinite ? "\(value)" : "null"
    case .string(let value): Self.quote(value, to: &output)
    case .array(let values):
      output += "["
      for (index, value) in values.enumerated() {
        if index > 0 { output += indent == nil ? "," : ", " }
        value.write(to: &output, indent: value.isScalar ? nil : indent, depth: depth + 1)
      }
      output += "]"
    case .object(let object):
      output += "{"
      for (index, member) in object.members.enumerated() {
        if index > 0 { output += "," }
        line(depth + 1)
        Self.quote(member.key, to: &output)
        output += indent == nil ? ":" : ": "
        member.value.write(to: &output, indent: indent, depth: depth + 1)
      }
      if !object.isEmpty { line(depth) }
      output += "}"
    }
  }

  private var isScalar: Bool {
    switch self {
    case .array, .object: false
    default: true
    }
  }

  private static func quote(_ string: String, to output: inout String) {
    output += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": output += "\\\""
      case "\\": output += "\\\\"
      case "\u{8}": output += "\\b"
      case "\u{c}": output += "\\f"
      case "\n": output += "\\n"
      case "\r": output += "\\r"
      case "\t": output += "\\t"
      // JSON requires an escape below 0x20 alone. The others get one because terminals interpret them.
      case _ where scalar.isControl:
        output += "\\u" + hexadecimalText(UInt16(scalar.value))
      default: output.unicodeScalars.append(scalar)
      }
    }
    output += "\""
  }
}

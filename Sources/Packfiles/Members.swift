internal import Support

/// An object of the manifest that has exactly the expected members.
struct Members {
  private let object: JSONObject
  private let location: String
  /// The object's name in messages.
  var place: String

  init(
    _ value: JSONValue, _ place: String, _ location: String, _ names: [String]
  ) throws(PackfileError) {
    guard let object = value.object else {
      throw PackfileError(
        location, .invalid(place: place, found: value.kind, expected: "an object"))
    }
    self.object = object
    self.location = location
    self.place = place
    for name in names where object[name] == nil { throw invalid(name, "missing", "the member") }
    for key in object.keys where !names.contains(key) {
      throw invalid(key, "not known", "no member of that name")
    }
  }

  func invalid(_ member: String, _ found: String, _ expected: String) -> PackfileError {
    PackfileError(
      location, .invalid(place: "\(quoted(member)) of \(place)", found: found, expected: expected))
  }

  func value(_ name: String) throws(PackfileError) -> JSONValue {
    guard let value = object[name] else { throw invalid(name, "missing", "the member") }
    return value
  }

  func integer(_ name: String) throws(PackfileError) -> Int {
    let value = try value(name)
    guard case .integer(let integer) = value, integer >= 0, integer < 1 << 53 else {
      throw invalid(
        name, value.number == nil ? value.kind : value.text(), "a whole number from 0 to 2^53 - 1")
    }
    return integer
  }

  func array(_ name: String) throws(PackfileError) -> [JSONValue] {
    let value = try value(name)
    guard let array = value.array else { throw invalid(name, value.kind, "an array") }
    return array
  }

  func object(_ name: String) throws(PackfileError) -> JSONObject {
    let value = try value(name)
    guard let object = value.object else { throw invalid(name, value.kind, "an object") }
    return object
  }

  func objectOrNull(_ name: String) throws(PackfileError) -> JSONObject? {
    try value(name).isNull ? nil : try object(name)
  }

  func string(_ name: String, _ rule: NameRules? = nil) throws(PackfileError) -> String {
    let value = try value(name)
    guard let string = value.string else { throw invalid(name, value.kind, "a string") }
    if let rule, !rule.accepts(string) { throw invalid(name, quoted(string), rule.text) }
    return string
  }

  /// A CRC-32, written as 8 lowercase hexadecimal digits.
  func checksum(_ name: String) throws(PackfileError) -> UInt32 {
    let string = try string(name)
    let digits = string.utf8
    guard digits.count == 8,
      digits.allSatisfy({ 0x30...0x39 ~= $0 || 0x61...0x66 ~= $0 }),
      let crc = UInt32(string, radix: 16)
    else { throw invalid(name, quoted(string), "8 lowercase hexadecimal digits") }
    return crc
  }
}

/// `string` in quotes for a message, cut after 80 characters. Unlike ``shown(_:limit:)``, it
/// escapes backslashes too, so that different names look different.
func quoted(_ string: String) -> String {
  let scalars = string.unicodeScalars
  let short = String(String.UnicodeScalarView(scalars.prefix(80)))
  return "'" + short.debugDescription.dropFirst().dropLast() + (scalars.count > 80 ? "…'" : "'")
}

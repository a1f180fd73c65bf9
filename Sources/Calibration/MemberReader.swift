internal import Support

/// Reads the members of a JSON document beside or in a calibration. Its errors name the wrong member.
struct MemberReader {
  let path: String
  /// What the document is, in errors: `calibration`.
  var document = MemberReader.calibration

  static let calibration = "calibration"

  func refuse(_ member: String, _ found: JSONValue?, _ expected: String) -> CalibrationError {
    let text = found.map { $0.text() } ?? "absent"
    let shown = text.count > 60 ? text.prefix(60) + "…" : Substring(text)
    return .metadata(
      path: path, document: document, member: member, found: String(shown), expected: expected)
  }

  func object(_ value: JSONValue, _ name: String) throws(CalibrationError) -> JSONObject {
    guard let object = value.object else { throw refuse(name, value, "an object") }
    return object
  }

  /// Checks that the members of the object are exactly `names`.
  func members(
    _ object: JSONObject, _ names: [String], of parent: String? = nil
  ) throws(CalibrationError) -> JSONObject {
    let prefix = parent.map { $0 + "." } ?? ""
    for key in object.keys where !names.contains(key) {
      throw refuse(prefix + key, object[key], "no member of this name")
    }
    for key in names where object[key] == nil {
      throw refuse(prefix + key, nil, "a value")
    }
    return object
  }

  func string(
    _ object: JSONObject, _ key: String, of parent: String? = nil
  ) throws(CalibrationError) -> String {
    guard let value = object[key]?.string else {
      throw refuse(full(key, parent), object[key], "a string")
    }
    return value
  }

  func bool(_ object: JSONObject, _ key: String) throws(CalibrationError) -> Bool {
    guard let value = object[key]?.bool else { throw refuse(key, object[key], "a Boolean") }
    return value
  }

  func integer(
    _ object: JSONObject, _ key: String, of parent: String? = nil, from least: Int = 1
  ) throws(CalibrationError) -> Int {
    guard let value = object[key]?.integer, value >= least else {
      throw refuse(full(key, parent), object[key], "an integer of at least \(least)")
    }
    return value
  }

  func full(_ key: String, _ parent: String?) -> String {
    parent.map { $0 + "." + key } ?? key
  }

  func child(
    _ metadata: JSONObject, _ key: String, _ names: [String]
  ) throws(CalibrationError) -> JSONObject {
    guard let object = metadata[key]?.object else {
      throw refuse(key, metadata[key], "an object")
    }
    return try members(object, names, of: key)
  }
}

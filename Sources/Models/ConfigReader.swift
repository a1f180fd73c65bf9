import Support
import Tensors

/// Reads the fields of a config with diffusers' defaults and checks their values.
///
/// An absent field takes the default of diffusers' constructor. A null field is Python's `None` and
/// is accepted only where `None` has a meaning.
struct ConfigReader {
  let json: JSONObject
  let location: String

  /// Limits on levels, layers and features. A config is read before any weight, so these bound the
  /// work that a hostile config can cause.
  static let levelLimit = 16
  static let layerLimit = 256
  static let widthLimit = 1 << 20

  func refusal(_ field: String, expected: String) -> ConfigError {
    ConfigError(
      location: location, field: field, found: json[field].map { shown($0.text()) } ?? "absent",
      expected: expected)
  }

  /// Accepts the field when it is absent or one of `supported`.
  func only(_ field: String, _ supported: JSONValue...) throws(ConfigError) {
    guard let value = json[field], !supported.contains(value) else { return }
    throw refusal(field, expected: supported.map { $0.text() }.joined(separator: " or "))
  }

  func integer(
    _ field: String, default standard: Int, in range: ClosedRange<Int>
  ) throws(ConfigError) -> Int {
    guard let value = json[field] else { return standard }
    return try integer(value, field, in: range)
  }

  /// A field that may be null or absent.
  func optionalInteger(
    _ field: String, in range: ClosedRange<Int>
  ) throws(ConfigError) -> Int? {
    guard let value = json[field], !value.isNull else { return nil }
    return try integer(value, field, in: range)
  }

  func number(_ field: String, default standard: Double) throws(ConfigError) -> Double {
    guard let value = json[field] else { return standard }
    guard let number = value.number, number.isFinite else {
      throw refusal(field, expected: "a number")
    }
    return number
  }

  /// A positive number: a divisor, or the argument of a root.
  func positive(_ field: String, default standard: Double) throws(ConfigError) -> Double {
    let value = try number(field, default: standard)
    guard value > 0 else { throw refusal(field, expected: "a number above 0") }
    return value
  }

  /// A Boolean; null is false, as `None` is in Python.
  func truth(_ field: String, default standard: Bool) throws(ConfigError) -> Bool {
    guard let value = json[field] else { return standard }
    if value.isNull { return false }
    guard let truth = value.bool else { throw refusal(field, expected: "true or false") }
    return truth
  }

  /// A list of names, each a case of `Name`.
  func names<Name: RawRepresentable<String> & CaseIterable>(
    _ field: String, default standard: [Name]
  ) throws(ConfigError) -> [Name] {
    guard let value = json[field] else { return standard }
    let names = value.array?.compactMap { $0.string.flatMap(Name.init(rawValue:)) } ?? []
    guard !names.isEmpty, names.count == value.array?.count, names.count <= Self.levelLimit else {
      let known = Name.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
      throw refusal(field, expected: "a list of 1 to \(Self.levelLimit) of \(known)")
    }
    return names
  }

  /// A list of whole numbers, one per level.
  func integers(
    _ field: String, default standard: [Int], in range: ClosedRange<Int>
  ) throws(ConfigError) -> [Int] {
    guard let value = json[field] else { return standard }
    guard let values = value.array, values.count <= Self.levelLimit else {
      throw refusal(field, expected: "a list of at most \(Self.levelLimit) whole numbers")
    }
    var integers: [Int] = []
    for value in values { integers.append(try integer(value, field, in: range)) }
    return integers
  }

  /// One whole number for all levels, or a list with one per level.
  func perLevel(
    _ field: String, levels: Int, default standard: Int, in range: ClosedRange<Int>
  ) throws(ConfigError) -> [Int] {
    if json[field]?.array == nil {
      let value = try integer(field, default: standard, in: range)
      return [Int](repeating: value, count: levels)
    }
    return try integers(field, default: [], in: range, count: levels)
  }

  /// One Boolean for all levels, or a list with one per level.
  func truthPerLevel(
    _ field: String, levels: Int, default standard: Bool
  ) throws(ConfigError) -> [Bool] {
    guard let list = json[field]?.array else {
      return [Bool](repeating: try truth(field, default: standard), count: levels)
    }
    let values = list.compactMap(\.bool)
    guard values.count == list.count, values.count == levels else {
      throw refusal(field, expected: "true, false, or a list of \(levels) of them, one per level")
    }
    return values
  }

  func integers(
    _ field: String, default standard: [Int], in range: ClosedRange<Int>, count: Int
  ) throws(ConfigError) -> [Int] {
    let values = try integers(field, default: standard, in: range)
    guard values.count == count else {
      throw refusal(field, expected: "\(count) numbers, one per level")
    }
    return values
  }

  func integer(
    _ value: JSONValue, _ field: String, in range: ClosedRange<Int>
  ) throws(ConfigError) -> Int {
    guard let integer = value.integer, range.contains(integer) else {
      throw refusal(
        field, expected: "a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return integer
  }

  /// The sides that the model was trained on: one number, or a list of height and width.
  func sampleSize(default standard: Int?) throws(ConfigError) -> ImageSize? {
    guard let value = json["sample_size"] else {
      return standard.map { ImageSize(width: $0, height: $0) }
    }
    if value.isNull { return nil }
    let sides = value.array ?? [value, value]
    guard sides.count == 2 else {
      throw refusal("sample_size", expected: "a whole number, or a list of height and width")
    }
    return ImageSize(
      width: try integer(sides[1], "sample_size", in: 1...Self.widthLimit),
      height: try integer(sides[0], "sample_size", in: 1...Self.widthLimit))
  }
}

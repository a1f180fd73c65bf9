import Support
import TestSupport
import Testing

/// A file of golden values that `Fixtures/golden/make_sampling.py` wrote.
func golden(_ name: String) throws -> JSONObject {
  let bytes = try ByteSlice.mapping(fixture("golden/" + name))
  let object = try #require(try JSONValue(parsing: bytes.bytes).object)
  try #require(object["format"] == 1, "run make_sampling.py again")
  return object
}

extension JSONObject {
  func array(_ key: String) throws -> [JSONValue] { try #require(self[key]?.array) }
  func string(_ key: String) throws -> String { try #require(self[key]?.string) }
  func integer(_ key: String) throws -> Int { try #require(self[key]?.integer) }
  func object(_ key: String) throws -> JSONObject { try #require(self[key]?.object) }

  /// Float32 numbers that are written as hexadecimal bit patterns, little-endian.
  func floats(_ key: String) throws -> [Float] { try #require(self[key]?.floats) }
}

extension JSONValue {
  var floats: [Float]? {
    guard let text = string.map({ Array($0.utf8) }), text.count % 8 == 0 else { return nil }
    return stride(from: 0, to: text.count, by: 8).map { start in
      let bytes = (0..<4).map { index -> UInt32 in
        let digits = String(
          decoding: text[start + index * 2..<start + index * 2 + 2], as: UTF8.self)
        return UInt32(digits, radix: 16) ?? 0
      }
      return Float(bitPattern: bytes.enumerated().reduce(0) { $0 | $1.element << ($1.offset * 8) })
    }
  }
}

/// The largest difference of two lists, over the largest number of the second.
func largestError(_ found: [Float], _ expected: [Float]) -> Double {
  guard found.count == expected.count else { return .infinity }
  let scale = expected.reduce(0) { max($0, abs(Double($1))) }
  return zip(found, expected).reduce(0) { error, pair in
    let difference = abs(Double(pair.0) - Double(pair.1)) / max(scale, .leastNormalMagnitude)
    return difference.isNaN
      ? (pair.0.isNaN && pair.1.isNaN ? error : .infinity) : max(error, difference)
  }
}

import Support
import Testing

struct JSONParsingTests {
  @Test(
    arguments: [
      ("null", nil), (" true ", true), ("false", false), ("0", 0), ("-0", 0), ("-12", -12),
      ("9223372036854775807", .integer(Int.max)), ("-9223372036854775808", .integer(Int.min)),
      ("9223372036854775808", .number(0x1p63)), ("1.0", .number(1)), ("1e3", .number(1000)),
      ("-2.5E-2", .number(-0.025)), ("1e-400", .number(0)), ("\"\"", ""), ("[]", []), ("{}", [:]),
      ("[1, [2, {}]]", [1, [2, [:]]]), ("\t{\"a\" :\r\n{\"b\":[ ]} }", ["a": ["b": []]]),
      (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"), (#""\u00e9\u20ac""#, "é€"),
      (#""\ud83d\ude00""#, "😀"), ("\"é😀\u{7f}\"", "é😀\u{7f}"), (#""\u0000""#, "\u{0}"),
    ] as [(String, JSONValue)])
  func parsesValidText(text: String, value: JSONValue) throws {
    #expect(try JSONValue(parsing: text) == value)
  }

  @Test func keepsTheOrderOfMembersAndDistinguishesNullFromAbsent() throws {
    let object = try #require(try JSONValue(parsing: #"{"z":1,"a":null,"m":3}"#).object)
    #expect(object.keys == ["z", "a", "m"])
    #expect(object["a"] == .some(.null))
    #expect(object["b"] == nil)
    #expect(object.members.map(\.key) == ["z", "a", "m"])
  }

  @Test func acceptsPythonsInfinitiesOnRequest() throws {
    let bytes = ByteSlice([UInt8]("[-Infinity, Infinity, -1]".utf8))
    #expect(
      try JSONValue(parsing: bytes.bytes, acceptingInfinity: true)
        == [.number(-.infinity), .number(.infinity), -1])
    #expect(throws: JSONError(reason: .invalidNumber, offset: 2)) {
      try JSONValue(parsing: bytes.bytes)
    }
  }

  @Test func distinguishesIntegersFromOtherNumbers() throws {
    #expect(try JSONValue(parsing: "3") == .integer(3))
    #expect(try JSONValue(parsing: "3.0") == .number(3))
    #expect(try JSONValue(parsing: "3.0").integer == 3)
    #expect(try JSONValue(parsing: "3.5").integer == nil)
    #expect(try JSONValue(parsing: "1e300").integer == nil)
    #expect(try JSONValue(parsing: "3").number == 3)
  }

  @Test(
    arguments: [
      ("", .unexpectedEnd, 0), ("  ", .unexpectedEnd, 2), ("{", .unexpectedEnd, 1),
      ("[1", .unexpectedEnd, 2), ("\"abc", .unexpectedEnd, 4), ("\"\\", .unexpectedEnd, 2),
      ("\"\\u12", .unexpectedEnd, 5), ("tru", .unexpectedEnd, 3), ("{\"a\"", .unexpectedEnd, 4),
      ("x", .unexpected(byte: 0x78), 0), ("trux", .unexpected(byte: 0x78), 3),
      ("[1 2]", .unexpected(byte: 0x32), 3), ("[,]", .unexpected(byte: 0x2c), 1),
      ("[1,]", .unexpected(byte: 0x5d), 3), ("{\"a\" 1}", .unexpected(byte: 0x31), 5),
      ("{1:2}", .unexpected(byte: 0x31), 1), ("{\"a\":1,}", .unexpected(byte: 0x7d), 7),
      ("{\"a\":1 \"b\"}", .unexpected(byte: 0x22), 7), ("\"a\nb\"", .unexpected(byte: 0x0a), 2),
      ("'a'", .unexpected(byte: 0x27), 0), ("NaN", .unexpected(byte: 0x4e), 0),
      ("\u{feff}1", .unexpected(byte: 0xef), 0),
      ("-", .invalidNumber, 1), ("1.", .invalidNumber, 2), ("1e", .invalidNumber, 2),
      ("-x", .invalidNumber, 1), ("1e999", .invalidNumber, 0), ("[-1e999]", .invalidNumber, 1),
      ("01", .trailingBytes, 1), ("1 1", .trailingBytes, 2), ("{}}", .trailingBytes, 2),
      (#""\x""#, .invalidEscape, 3), (#""\u12g4""#, .invalidEscape, 6),
      (#""\ud800\u0041""#, .invalidEscape, 13), (#""\udc00""#, .invalidEscape, 7),
      (#"{"a":1,"a":2}"#, .duplicateName("a"), 7), (#"{"a":1,"\u0061":2}"#, .duplicateName("a"), 7),
    ] as [(String, JSONError.Reason, Int)])
  func refusesInvalidText(text: String, reason: JSONError.Reason, offset: Int) {
    #expect(throws: JSONError(reason: reason, offset: offset)) { try JSONValue(parsing: text) }
  }

  @Test(
    arguments: [
      [0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22],
      [0x22, 0xe2, 0x82, 0x22], [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22],
    ] as [[UInt8]])
  func refusesInvalidUTF8(bytes: [UInt8]) {
    #expect(throws: JSONError(reason: .invalidUTF8, offset: 0)) {
      try JSONValue(parsing: ByteSlice(bytes).bytes)
    }
  }

  @Test func refusesDeepNesting() throws {
    func nested(_ levels: Int) -> String {
      String(repeating: "[", count: levels) + String(repeating: "]", count: levels)
    }
    _ = try JSONValue(parsing: nested(65))
    #expect(throws: JSONError(reason: .tooDeep(limit: 64), offset: 65)) {
      try JSONValue(parsing: nested(66))
    }
    #expect(throws: JSONError(reason: .tooDeep(limit: 64), offset: 65)) {
      try JSONValue(parsing: String(repeating: "[", count: 1_000_000))
    }
  }

  /// The number of values, the length of a name and of the text, and the runs of combining marks
  /// are limited, which bounds memory and time.
  @Test func refusesTextsBeyondTheLimits() throws {
    func reason(_ text: String) -> JSONError.Reason? {
      do {
        _ = try JSONValue(parsing: text)
        return nil
      } catch { return error.reason }
    }
    let ones = String(repeating: "1,", count: 999_998)
    #expect(reason("[" + ones + "1]") == nil)
    #expect(reason("[" + ones + "1,1]") == .tooManyValues(limit: 1_000_000))
    let objects = String(repeating: "{\"a\":[]},", count: 500_000)
    #expect(reason("[" + objects + "1]") == .tooManyValues(limit: 1_000_000))
    let name = String(repeating: "n", count: 65_535)
    #expect(reason("{\"\(name)\":1}") == nil)
    #expect(reason("{\"\(name)n\":1}") == .longName(limit: 65_535))
    #expect(reason("[\"\(name)n\"]") == nil)
    let marks = String(repeating: "\u{300}", count: 31)
    for text in [
      "[\"\(marks)\"]", "{\"\(marks)\":1}", #"["\#(String(repeating: #"\u0300"#, count: 31))"]"#,
    ] {
      #expect(reason(text) == .combiningMarks(limit: 30))
    }
    #expect(
      reason(String(repeating: " ", count: 100_000_001))
        == .tooLong(bytes: 100_000_001, limit: 100_000_000))
  }

  /// Objects with few and with many members, which are found in different ways.
  @Test(arguments: [1, 7, 8, 9, 10, 100])
  func findsReplacesAndRemovesMembers(count: Int) {
    var object = JSONObject((0..<count).map { ("k\($0)", .integer($0)) })
    let names = (0..<count).map { "k\($0)" }
    #expect(object.keys == names && object.count == count)
    #expect(names.map { object[$0] } == (0..<count).map { .integer($0) })
    #expect(object["k\(count)"] == nil)
    object["k0"] = "new"
    object["z"] = nil
    #expect(object.keys == names && object["k0"] == "new")
    object["k0"] = nil
    #expect(object.keys == Array(names.dropFirst()) && object["k0"] == nil)
    for index in 1..<max(1, count) { #expect(object["k\(index)"] == .integer(index)) }
    object["k0"] = 0
    #expect(object.keys == names.dropFirst() + ["k0"])
    // The order of members counts.
    let original = JSONObject((0..<count).map { ("k\($0)", .integer($0)) })
    #expect((object == original) == (count == 1))
    #expect(Set([object, object, original]).count == (count == 1 ? 1 : 2))
  }

  /// Terminals obey some characters that JSON allows in strings.
  @Test func writesControlCharactersAsEscapes() throws {
    let text = "a\u{1b}\u{7f}\u{9b}\u{2028}\u{202e}\u{2066}é\u{200d}"
    let written = JSONValue.string(text).text()
    #expect(written == "\"a\\u001b\\u007f\\u009b\\u2028\\u202e\\u2066é\u{200d}\"")
    #expect(try JSONValue(parsing: written) == .string(text))
  }

  /// Many members must not take quadratic time.
  @Test(.timeLimit(.minutes(5))) func takesLinearTime() throws {
    let text = "{" + (0..<200_000).map { "\"k\($0)\":\($0)" }.joined(separator: ",") + "}"
    #expect(try JSONValue(parsing: text).object?.keys.count == 200_000)
  }

  @Test(
    arguments: [
      (.unexpectedEnd, "the text ends too early (at byte 7)"),
      (.unexpected(byte: 0x2c), "unexpected byte 0x2c (at byte 7)"),
      (.invalidUTF8, "a string is not UTF-8 (at byte 7)"),
      (.invalidEscape, "a string holds an invalid escape (at byte 7)"),
      (.invalidNumber, "a number is malformed or too large (at byte 7)"),
      (.duplicateName("a"), "the name 'a' occurs twice in one object (at byte 7)"),
      (.tooDeep(limit: 64), "nested deeper than 64 levels (at byte 7)"),
      (.trailingBytes, "something follows the value (at byte 7)"),
      (.duplicateName("a\u{1b}"), #"the name 'a\u{1b}' occurs twice in one object (at byte 7)"#),
      (
        .tooLong(bytes: 10, limit: 9), "the text has 10 bytes, expected at most 9 (at byte 7)"
      ),
      (.tooManyValues(limit: 9), "more than 9 values (at byte 7)"),
      (.longName(limit: 9), "a name of more than 9 bytes (at byte 7)"),
      (
        .combiningMarks(limit: 9),
        "a string with more than 9 combining marks in a row (at byte 7)"
      ),
    ] as [(JSONError.Reason, String)])
  func describesTheReason(reason: JSONError.Reason, text: String) {
    #expect(JSONError(reason: reason, offset: 7).description == text)
  }
}

struct JSONReaderTests {
  @Test func readsPieceByPiece() throws {
    let bytes = ByteSlice([UInt8](#" { "a" : [1, {"b":2} ], "a":"x" } "#.utf8))
    var reader = JSONReader(bytes.bytes)
    let kind = try reader.nextKind()
    #expect(kind == "an object")
    try reader.beginObject()
    let first = try reader.nextName(after: 0)
    #expect(first == "a" && reader.nameOffset == 3)
    try reader.beginArray()
    var elements: [JSONValue] = []
    while try reader.nextElement(after: elements.count) { elements.append(try reader.value()) }
    #expect(elements == [1, ["b": 2]])
    let second = try reader.nextName(after: 1)
    let value = try reader.string()
    let end = try reader.nextName(after: 2)
    #expect(second == "a" && value == "x" && end == nil)
    try reader.end()
    #expect(reader.offset == bytes.count)
  }

  @Test(arguments: [
    ("{}", "an object"), ("[]", "an array"), ("\"\"", "a string"), ("true", "a Boolean"),
    ("false", "a Boolean"), ("null", "null"), ("-1", "a number"), (" 7", "a number"),
  ])
  func namesTheKindOfTheNextValue(text: String, kind: String) throws {
    let bytes = ByteSlice([UInt8](text.utf8))
    var reader = JSONReader(bytes.bytes)
    let next = try reader.nextKind()
    let value = try reader.value()
    #expect(next == kind && value.kind == kind)
  }

  @Test(arguments: [("", JSONError.Reason.unexpectedEnd), ("x", .unexpected(byte: 0x78))])
  func refusesTextWithoutAValue(text: String, reason: JSONError.Reason) {
    let bytes = ByteSlice([UInt8](text.utf8))
    #expect(throws: JSONError(reason: reason, offset: 0)) {
      var reader = JSONReader(bytes.bytes)
      _ = try reader.nextKind()
    }
    #expect(throws: JSONError(reason: reason, offset: 0)) {
      var reader = JSONReader(bytes.bytes)
      try reader.beginObject()
    }
  }
}

struct JSONWritingTests {
  static let value: JSONValue = [
    "name": "a \"b\"\\\n\u{8}\u{c}\u{1}é", "list": [1, 2.5, nil], "nested": ["x": [:], "y": []],
    "flag": true,
  ]

  @Test func onOneLine() {
    #expect(
      Self.value.text()
        == #"{"name":"a \"b\"\\\n\b\f\u0001é","list":[1,2.5,null],"nested":{"x":{},"y":[]},"flag":true}"#
    )
  }

  @Test func withIndentation() {
    #expect(
      Self.value.text(indent: 2) == #"""
        {
          "name": "a \"b\"\\\n\b\f\u0001é",
          "list": [1, 2.5, null],
          "nested": {
            "x": {},
            "y": []
          },
          "flag": true
        }
        """#)
  }

  @Test(arguments: [nil, 0, 2] as [Int?])
  func roundTrips(indent: Int?) throws {
    #expect(try JSONValue(parsing: Self.value.text(indent: indent)) == Self.value)
  }

  @Test(arguments: [0, -0.1, 1e-5, 1e20, 1e300, 2.5e-300, 0.18215, 3])
  func numbersKeepEveryBit(number: Double) throws {
    #expect(try JSONValue(parsing: JSONValue.number(number).text()).number == number)
  }

  @Test func whatJSONCannotHoldIsNull() {
    #expect(JSONValue.number(.nan).text() == "null")
    #expect(JSONValue.number(.infinity).text() == "null")
  }

  @Test func kindsHaveNames() {
    let values: [JSONValue] = [nil, true, 1, 1.5, "", [], [:]]
    #expect(
      values.map(\.kind) == [
        "null", "a Boolean", "a number", "a number", "a string", "an array", "an object",
      ])
    #expect(values.map(\.isNull) == [true, false, false, false, false, false, false])
    #expect(values[1].bool == true && values[4].string == "" && values[5].array == [])
  }

  @Test func membersAreReplacedInPlaceAndRemoved() {
    var object: JSONObject = ["a": 1, "b": 2, "c": 3]
    object["b"] = nil as JSONValue?
    object["a"] = 4
    object["d"] = .null
    #expect(object == JSONObject([("a", 4), ("c", 3), ("d", nil)]))
    #expect(object.keys == ["a", "c", "d"])
    #expect(!object.isEmpty && JSONObject().isEmpty)
  }
}

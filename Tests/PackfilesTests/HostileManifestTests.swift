import Packfiles
import Support
import Testing

/// Files with valid digests and an invalid manifest. Opening refuses each with its own reason, and
/// before it allocates memory for the claimed sizes.
@Suite struct HostileManifestTests {
  typealias Step = HostileFile.Step

  struct Case: Sendable, CustomTestStringConvertible {
    let path: [Step]
    let value: JSONValue?
    let message: String

    init(_ path: [Step], _ value: JSONValue?, _ message: String) {
      self.path = path
      self.value = value
      self.message = message
    }

    var testDescription: String { "\(path.last.map { "\($0)" } ?? "") = \(value?.text() ?? "-")" }
  }

  static let a = HostileFile.a
  static let b = HostileFile.b
  static let partA = HostileFile.partA
  static let partB = HostileFile.partB
  static let unet = HostileFile.unet

  static let cases: [Case] = [
    // Offsets: negative, overflowing, overlapping, with a gap, beyond the end.
    Case(partA + ["offset"], -64, "'offset' of unet tensor 'a' is -64, expected a whole number"),
    Case(
      partA + ["offset"], 9_223_372_036_854_775_807,
      "is 9223372036854775807, expected a whole number"),
    Case(partA + ["offset"], 64.5, "'offset' of unet tensor 'a' is 64.5, expected a whole number"),
    Case(
      partA + ["offset"], "64", "'offset' of unet tensor 'a' is a string, expected a whole number"),
    Case(partA + ["offset"], 0, "unet tensor 'a' begins at offset 0, expected 64"),
    Case(partA + ["offset"], 128, "unet tensor 'a' begins at offset 128, expected 64"),
    Case(partB + ["offset"], 64, "unet tensor 'b' begins at offset 64, expected 512"),
    Case(
      partB + ["offset"], 4_503_599_627_370_496, "begins at offset 4503599627370496, expected 512"),
    Case(partA + ["length"], -1, "'length' of unet tensor 'a' is -1, expected a whole number"),
    Case(partA + ["length"], 401, "unet tensor 'a' has 401 bytes, expected 400"),
    Case(partA + ["length"], 399, "unet tensor 'a' has 399 bytes, expected 400"),
    Case(
      partA + ["length"], 9_007_199_254_740_991,
      "unet tensor 'a' has 9007199254740991 bytes at offset 64, expected an end by"),
    Case(partB + ["length"], 5000, "unet tensor 'b' has 5000 bytes at offset 512, expected an end"),
    Case(["files"], [], "the manifest begins at offset"),
    Case(partA + ["crc32"], 17, "'crc32' of unet tensor 'a' is a number, expected a string"),
    Case(
      partA + ["crc32"], "0123456", "'crc32' of unet tensor 'a' is '0123456', expected 8 lowercase"),
    Case(partA + ["crc32"], "0123456G", "is '0123456G', expected 8 lowercase hexadecimal digits"),
    Case(partA + ["crc32"], "+1234567", "is '+1234567', expected 8 lowercase hexadecimal digits"),
    // Shapes and encodings.
    Case(a + ["shape"], [4, 26], "unet tensor 'a' has 400 bytes, expected 416"),
    Case(a + ["shape"], [4, -25], "'shape' of unet tensor 'a' is not of whole numbers below 2^31"),
    Case(a + ["shape"], [2_147_483_648], "'shape' of unet tensor 'a' is not of whole numbers"),
    Case(a + ["shape"], [2_147_483_647, 2_147_483_647, 2_147_483_647], "'shape' of unet tensor"),
    Case(a + ["shape"], [2_147_483_647, 2_147_483_647, 2_147_483_647, 0], "fits 63 bits"),
    Case(a + ["shape"], [2_147_483_647, 2_147_483_647, 2], "one that 'f32' can hold"),
    Case(a + ["shape"], [1, 1, 1, 1, 1, 1, 1, 4, 25], "at most 8 extents"),
    Case(a + ["shape"], [4, 25.5], "'shape' of unet tensor 'a' is not of whole numbers"),
    Case(a + ["encoding"], "int3-g32", "unet tensor 'a' has the unknown encoding 'int3-g32'"),
    Case(a + ["encoding"], "F32", "unet tensor 'a' has the unknown encoding 'F32'"),
    Case(a + ["encoding"], "int8-g0", "unet tensor 'a' has the unknown encoding 'int8-g0'"),
    Case(a + ["encoding"], "\u{1b}[2J", #"has the unknown encoding '\u{1B}[2J'"#),
    Case(a + ["encoding"], "f16", "unet tensor 'a' has 400 bytes, expected 200"),
    Case(a + ["encoding"], "int8", "'parts' of unet tensor 'a' is 1 parts, expected 2 for 'int8'"),
    Case(a + ["parts"], [], "'parts' of unet tensor 'a' is 0 parts, expected 1 for 'f32'"),
    Case(a + ["encoding"], "f6_e2m3", "unet tensor 'a' has 400 bytes, expected 75"),
    Case(a + ["shape"], [99], "unet tensor 'a' has 400 bytes, expected 396"),
    // Coding.
    Case(partB + ["planes"], 3, "'planes' of unet tensor 'b' is 3, expected 1, 2, 4 or 8 planes"),
    Case(partB + ["planes"], 0, "'planes' of unet tensor 'b' is 0, expected 1, 2, 4 or 8 planes"),
    Case(partB + ["planes"], nil, "'planes' of unet tensor 'b' is missing"),
    Case(partB + ["table"], nil, "'table' of unet tensor 'b' is missing"),
    Case(partB + ["table"], "x", "'table' of unet tensor 'b' is 'x', expected 8 lowercase"),
    Case(b + ["shape"], [2_000_000_000], "'length' of unet tensor 'b' is"),
    Case(b + ["shape"], [262_144], "unet tensor 'b' decodes to 524288 bytes from"),
    Case(b + ["shape"], [200], "'length' of unet tensor 'b' is"),
    Case(
      b + ["shape"], [0],
      "'planes' of unet tensor 'b' is 2, expected 1, 2, 4 or 8 planes that divide 0"),
    Case(["codecs"], [0, 1, 9], "uses codec 9, expected 0 (stored), 1 (deflate)"),
    Case(["codecs"], [1, 0], "'codecs' of the manifest is not ascending whole numbers"),
    Case(["codecs"], [1, 1], "'codecs' of the manifest is not ascending whole numbers"),
    Case(["codecs"], [-1], "'codecs' of the manifest is not ascending whole numbers"),
    Case(["codecs"], 1, "'codecs' of the manifest is a number, expected an array"),
    // Names.
    Case(a + ["name"], "b", "component 'unet' holds 'b' twice"),
    Case(
      a + ["name"], "", "'name' of a tensor of component 'unet' is '', expected 1 to 512 visible"),
    Case(a + ["name"], "a b", "'name' of a tensor of component 'unet' is 'a b', expected 1 to 512"),
    Case(a + ["name"], "a\n", #"is 'a\n', expected 1 to 512 visible ASCII characters"#),
    Case(unet + ["name"], "../unet", "'name' of a component is '../unet', expected 1 to 64 of A-Z"),
    Case(unet + ["class"], 5, "'class' of a component is a number, expected a string"),
    Case(unet + ["config"], [], "'config' of a component is an array, expected an object"),
    Case(
      ["files", 0, "path"], "/etc/passwd", "'path' of a file is '/etc/passwd', expected a relative"),
    Case(
      ["files", 0, "path"], "a/../../b", "'path' of a file is 'a/../../b', expected a relative path"
    ),
    Case(["files", 0, "path"], "a\\b", #"'path' of a file is 'a\\b', expected a relative path"#),
    Case(["files", 0, "path"], "a//b", "'path' of a file is 'a//b', expected a relative path"),
    Case(["files", 0, "path"], ".", "'path' of a file is '.', expected a relative path"),
    Case(["files", 0, "size"], 5, "file 'tokenizer/a.txt' has 4 bytes, expected 5"),
    Case(["files", 0, "size"], -5, "'size' of a file is -5, expected a whole number from 0"),
    // Members.
    Case(["extra"], 1, "'extra' of the manifest is not known, expected no member of that name"),
    Case(a + ["extra"], 1, "'extra' of a tensor of component 'unet' is not known"),
    Case(partA + ["codec"], 1, "'codec' of unet tensor 'a' is not known"),
    Case(["parity"], nil, "'parity' of the manifest is missing, expected the member"),
    Case(["parity"], false, "'parity' of the manifest is a Boolean, expected an object"),
    Case(["model"], nil, "'model' of the manifest is missing"),
    Case(["components"], [:], "'components' of the manifest is an object, expected an array"),
    Case(unet, 5, "a component is a number, expected an object"),
    Case(partA, nil, "'parts' of unet tensor 'a' is 0 parts, expected 1 for 'f32'"),
    Case([], [], "the manifest is an array, expected an object"),
  ]

  @Test(arguments: cases) func isRefused(hostile: Case) throws {
    var file = try HostileFile()
    file.set(hostile.path, to: hostile.value)
    let error = #expect(throws: PackfileError.self) {
      try PackfileReader(contents: file.bytes, location: "x.decant")
    }
    let description = error?.description ?? ""
    #expect(description.hasPrefix("x.decant: "))
    #expect(description.contains(hostile.message), "\(description)")
  }

  @Test func theSampleIsValid() throws {
    let file = try HostileFile()
    try PackfileReader(contents: file.bytes, location: "x").check { _, _ in }
    #expect(file.manifest.at(HostileFile.partB + ["offset"]) == 512)
    #expect(file.manifest.at(HostileFile.partB + ["planes"]) == 2)
    #expect(file.manifest.at(["codecs"]) == [0, 2])
  }

  @Test func twoComponentsOfOneNameAreRefused() throws {
    var file = try HostileFile()
    let empty: JSONValue = ["name": "unet", "class": "X", "config": [:], "tensors": []]
    file.set(["components"], to: [file.manifest.at(HostileFile.unet), empty])
    #expect(throws: PackfileError("x", .duplicate(place: "the manifest", name: "unet"))) {
      try PackfileReader(contents: file.bytes, location: "x")
    }
  }

  @Test(arguments: [
    (#"{"model":{},"model":{}}"#, "the name 'model' occurs twice"),
    ("", "the text ends too early"),
    ("{} {}", "something follows the value"),
    (#"{"model":{"x":NaN}}"#, "unexpected byte 0x4e"),
    ("\u{feff}{}", "unexpected byte 0xef"),
    (String(repeating: "[", count: 100_000), "nested deeper than 64 levels"),
  ]) func otherTextIsRefused(text: String, message: String) throws {
    let bytes = try HostileFile().framing([UInt8](text.utf8))
    let error = #expect(throws: PackfileError.self) {
      try PackfileReader(contents: bytes, location: "x")
    }
    #expect(error?.description.contains(message) == true, "\(error?.description ?? "")")
  }
}

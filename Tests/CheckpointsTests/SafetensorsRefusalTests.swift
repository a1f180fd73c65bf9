import Checkpoints
import Support
import Tensors
import Testing

/// Invalid files, and the error for each.
struct SafetensorsRefusalTests {
  private static func tensor(
    _ kind: String = #""F32""#, shape: String = "[2]", offsets: String = "[0,8]"
  ) -> String {
    #"{"dtype":\#(kind),"shape":\#(shape),"data_offsets":\#(offsets)}"#
  }

  static let cases: [(bytes: [UInt8], message: String)] = [
    (
      [],
      "f: the file has 0 bytes, expected at least the 8 bytes of a safetensors header's length"
    ),
    (
      [1, 2, 3, 4, 5, 6, 7],
      "f: the file has 7 bytes, expected at least the 8 bytes of a safetensors header's length"
    ),
    (
      safetensors("{}", length: 100_000_001),
      "f: the header's length is 100000001 bytes, expected at most 100000000; the file is damaged or not a safetensors file"
    ),
    (
      safetensors("{}", length: .max),
      "f: the header's length is 18446744073709551615 bytes, expected at most 100000000; the file is damaged or not a safetensors file"
    ),
    (
      safetensors("{}", length: 3),
      "f: the header's length is 3 bytes, but only 2 bytes follow; the file is incomplete or not a safetensors file"
    ),
    (safetensors(""), "f: the header is empty, expected '{'; this is not a safetensors file"),
    (
      safetensors(" {}"),
      "f: the header begins with byte 0x20, expected '{'; this is not a safetensors file"
    ),
    (
      safetensors("[1]"),
      "f: the header begins with byte 0x5b, expected '{'; this is not a safetensors file"
    ),
    (
      safetensors("{"),
      "f: the header is invalid JSON: the text ends too early (at byte 1)"
    ),
    (
      safetensors("{}x"),
      "f: the header is invalid JSON: something follows the value (at byte 2)"
    ),
    (
      safetensors(#"{"a":\#(tensor()),"a":\#(tensor())}"#, data: 8),
      "f: the header is invalid JSON: the name 'a' occurs twice in one object (at byte 54)"
    ),
    (
      safetensors(#"{"a":{"dtype":"F32","dtype":"F32"}}"#),
      "f: the header is invalid JSON: the name 'dtype' occurs twice in one object (at byte 20)"
    ),
    (
      Array(safetensors("{\"")) + [0xff] + [],
      "f: the header is invalid JSON: the text ends too early (at byte 2)"
    ),
    (
      [4, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x22, 0xff, 0x22],
      "f: the header is invalid JSON: a string is not UTF-8 (at byte 1)"
    ),
    (
      safetensors(#"{"a":"# + String(repeating: "[", count: 100)),
      "f: tensor 'a': described by an array, expected an object"
    ),
    (
      safetensors(#"{"a":x"#),
      "f: the header is invalid JSON: unexpected byte 0x78 (at byte 5)"
    ),
    (
      safetensors(#"{"__metadata__":{},"__metadata__":{}}"#),
      "f: the header is invalid JSON: the name '__metadata__' occurs twice in one object (at byte 19)"
    ),
    (
      safetensors(#"{"__metadata__":{"a":"1","a":"2"}}"#),
      "f: the header is invalid JSON: the name 'a' occurs twice in one object (at byte 25)"
    ),
    (
      safetensors(#"{"a":\#(tensor(offsets: "[8]"))}"#, data: 8),
      "f: tensor 'a': data_offsets is an array of 1, expected one of 2 numbers"
    ),
    (
      safetensors(
        #"{"a":\#(tensor(shape: "[" + String(repeating: "1,", count: 64) + "2]"))}"#, data: 8),
      "f: tensor 'a': shape is an array of more than 64, expected an array of at most 64 whole numbers from 0"
    ),
    (safetensors(#"{"__metadata__":[]}"#), "f: '__metadata__' is an array, expected an object"),
    (
      safetensors(#"{"__metadata__":{"format":1}}"#),
      "f: '__metadata__' member 'format' is a number, expected a string"
    ),
    (safetensors(#"{"a":[]}"#), "f: tensor 'a': described by an array, expected an object"),
    (safetensors(#"{"a":{"shape":[],"data_offsets":[0,0]}}"#), "f: tensor 'a': has no 'dtype'"),
    (safetensors(#"{"a":{"dtype":"F32","data_offsets":[0,0]}}"#), "f: tensor 'a': has no 'shape'"),
    (safetensors(#"{"a":{"dtype":"F32","shape":[]}}"#), "f: tensor 'a': has no 'data_offsets'"),
    (
      safetensors(
        #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"strides":[1]}}"#, data: 8),
      "f: tensor 'a': has a member 'strides', expected only dtype, shape and data_offsets"
    ),
    (
      safetensors(#"{"a":\#(tensor("7"))}"#, data: 8),
      "f: tensor 'a': dtype is a number, expected a string"
    ),
    (
      safetensors(#"{"a":\#(tensor(#""F33""#))}"#, data: 8),
      "f: tensor 'a': unknown dtype 'F33', expected BOOL, F4, F6_E2M3, F6_E3M2, U8, I8, F8_E5M2, F8_E4M3, F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ, I16, U16, F16, BF16, I32, U32, F32, C64, F64, I64, U64"
    ),
    (
      safetensors(#"{"a":\#(tensor(shape: "2"))}"#, data: 8),
      "f: tensor 'a': shape is a number, expected an array of at most 64 whole numbers from 0"
    ),
    (
      safetensors(#"{"a":\#(tensor(shape: "[-2]"))}"#, data: 8),
      "f: tensor 'a': shape is an array that holds -2, expected an array of at most 64 whole numbers from 0"
    ),
    (
      safetensors(#"{"a":\#(tensor(shape: "[2.0]"))}"#, data: 8),
      "f: tensor 'a': shape is an array that holds 2.0, expected an array of at most 64 whole numbers from 0"
    ),
    (
      safetensors(#"{"a":\#(tensor(shape: #"["2"]"#))}"#, data: 8),
      "f: tensor 'a': shape is an array that holds a string, expected an array of at most 64 whole numbers from 0"
    ),
    (
      safetensors(#"{"a":\#(tensor(shape: "[18446744073709551616]"))}"#, data: 8),
      "f: tensor 'a': shape is an array that holds 1.8446744073709552e+19, expected an array of at most 64 whole numbers from 0"
    ),
    (
      safetensors(#"{"a":\#(tensor(offsets: "{}"))}"#, data: 8),
      "f: tensor 'a': data_offsets is an object, expected an array of at most 2 whole numbers from 0"
    ),
    (
      safetensors(#"{"a":\#(tensor(offsets: "[0,8,8]"))}"#, data: 8),
      "f: tensor 'a': data_offsets is an array of more than 2, expected an array of at most 2 whole numbers from 0"
    ),
    (
      safetensors(#"{"a":\#(tensor(offsets: "[-8,0]"))}"#, data: 8),
      "f: tensor 'a': data_offsets is an array that holds -8, expected an array of at most 2 whole numbers from 0"
    ),
    (
      safetensors(#"{"a":\#(tensor(shape: "[4294967296,4294967296]"))}"#, data: 8),
      "f: tensor 'a': shape [4294967296, 4294967296] of F32 takes more than 2^63 bytes"
    ),
    (
      safetensors(#"{"a":\#(tensor(shape: "[4611686018427387904]"))}"#, data: 8),
      "f: tensor 'a': shape [4611686018427387904] of F32 takes more than 2^63 bytes"
    ),
    (
      safetensors(#"{"a":\#(tensor(#""F4""#, shape: "[3]", offsets: "[0,2]"))}"#, data: 2),
      "f: tensor 'a': shape [3] of F4, which has 4 bits, does not fill whole bytes"
    ),
    (
      safetensors(#"{"a":\#(tensor(#""F6_E2M3""#, shape: "[2]", offsets: "[0,2]"))}"#, data: 2),
      "f: tensor 'a': shape [2] of F6_E2M3, which has 6 bits, does not fill whole bytes"
    ),
    (
      safetensors(#"{"a":\#(tensor(offsets: "[8,0]"))}"#, data: 8),
      "f: tensor 'a': begins at byte 8 and ends before that, at 0"
    ),
    (
      safetensors(#"{"a":\#(tensor(shape: "[3]"))}"#, data: 8),
      "f: tensor 'a': data_offsets span 8 bytes, shape [3] of F32 takes 12"
    ),
    (
      safetensors(#"{"a":\#(tensor(shape: "[0]"))}"#, data: 8),
      "f: tensor 'a': data_offsets span 8 bytes, shape [0] of F32 takes 0"
    ),
    (
      safetensors(#"{"a":\#(tensor())}"#, data: 7),
      "f: the file ends after 69 of 70 bytes, at tensor 'a'"
    ),
    (
      safetensors(
        #"{"a":\#(tensor(offsets: "[9223372036854775799,9223372036854775807]"))}"#, data: 8),
      "f: the file ends after 106 of 9223372036854775807 bytes, at tensor 'a'"
    ),
    (
      safetensors(#"{"a":\#(tensor()),"b":\#(tensor(offsets: "[4,12]"))}"#, data: 12),
      "f: tensor 'b': begins at byte 4 of the data, within tensor 'a', which ends at 8"
    ),
    (
      safetensors(#"{"a":\#(tensor()),"b":\#(tensor())}"#, data: 8),
      "f: tensor 'b': begins at byte 0 of the data, within tensor 'a', which ends at 8"
    ),
    (
      safetensors(#"{"a":\#(tensor()),"b":\#(tensor(shape: "[0]", offsets: "[4,4]"))}"#, data: 8),
      "f: tensor 'b': begins at byte 4 of the data, within tensor 'a', which ends at 8"
    ),
    (
      safetensors(#"{"a":\#(tensor()),"b":\#(tensor(offsets: "[12,20]"))}"#, data: 20),
      "f: tensor 'b': begins at byte 12 of the data, expected 8, where the tensor before it ends"
    ),
    (
      safetensors(#"{"a":\#(tensor(offsets: "[4,12]"))}"#, data: 12),
      "f: tensor 'a': begins at byte 4 of the data, expected 0, where the tensor before it ends"
    ),
    (
      safetensors(#"{"a":\#(tensor())}"#, data: 9),
      "f: 1 byte follows the last tensor, expected none"
    ),
    (safetensors("{}", data: 3), "f: 3 bytes follow the last tensor, expected none"),
  ]

  @Test(arguments: cases)
  func invalidFilesAreRefused(bytes: [UInt8], message expected: String) {
    #expect(message { _ = try SafetensorsFile(ByteSlice(bytes), path: "f") } == expected)
  }

  /// Names in a file cannot flood or control a terminal.
  @Test func namesAreEscapedAndCutInMessages() {
    let name = "\\u001b[31m" + String(repeating: "x", count: 900)
    let bytes = safetensors(#"{"\#(name)":[]}"#)
    let shown = "\\u{1b}[31m" + String(repeating: "x", count: 115) + "…"
    #expect(
      message { _ = try SafetensorsFile(ByteSlice(bytes), path: "f") }
        == "f: tensor '\(shown)': described by an array, expected an object")
  }

  @Test func aFileThatIsNotThereIsNamed() {
    #expect(
      message { _ = try SafetensorsFile(path: "/absent/f") }
        == "cannot open /absent/f: No such file or directory")
  }

  @Test func errorsHoldTheFacts() {
    #expect(
      throws: SafetensorsError.beyondFile(path: "f", tensor: "a", end: 70, available: 69)
    ) {
      try SafetensorsFile(
        ByteSlice(safetensors(#"{"a":\#(Self.tensor())}"#, data: 7)), path: "f")
    }
  }

  /// Every truncation of a valid file is refused. Every flipped bit of its header is refused or
  /// harmless.
  @Test func everyTruncationIsRefused() throws {
    let whole = safetensors(
      #"{"a":\#(Self.tensor()),"b":\#(Self.tensor(#""U8""#, shape: "[3]", offsets: "[8,11]"))}"#,
      data: 11)
    _ = try SafetensorsFile(ByteSlice(whole), path: "f")
    for count in 0..<whole.count {
      #expect(throws: SafetensorsError.self) {
        try SafetensorsFile(ByteSlice(Array(whole[0..<count])), path: "f")
      }
    }
    for position in 0..<whole.count - 11 {
      for bit in 0..<8 {
        var bytes = whole
        bytes[position] ^= 1 << bit
        do {
          let file = try SafetensorsFile(ByteSlice(bytes), path: "f")
          for name in file.names { _ = try file.tensor(name) }
        } catch is SafetensorsError {}
      }
    }
  }

  /// A very long header is read in time linear in its length.
  @Test(.timeLimit(.minutes(5))) func headersAreReadInLinearTime() throws {
    let count = 50_000
    let members = (0..<count).map {
      "\"t\($0)\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[\($0),\($0 + 1)]}"
    }
    let bytes = safetensors("{" + members.joined(separator: ",") + "}", data: count)
    #expect(try SafetensorsFile(ByteSlice(bytes), path: "f").names.count == count)
  }
}

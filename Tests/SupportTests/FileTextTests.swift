import Support
import Testing

struct FileTextTests {
  private static func marks(_ count: Int, _ mark: Unicode.Scalar = "\u{323}") -> String {
    String(
      String.UnicodeScalarView(
        [Unicode.Scalar]("a".unicodeScalars) + Array(repeating: mark, count: count)))
  }

  @Test(arguments: ["", "a", "é", "日本語 😀", "e\u{301}", "\u{0}", "\u{fe0f}\u{200d}", "가각"])
  func textsOfAnyScriptAreTaken(text: String) throws {
    #expect(Array(try String(fileText: text.utf8).utf8) == Array(text.utf8))
  }

  @Test(
    arguments: [
      [0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf4, 0x90, 0x80, 0x80],
    ]
      as [[UInt8]])
  func invalidUTF8IsRefused(bytes: [UInt8]) {
    #expect(throws: TextFault.notUTF8) { try String(fileText: bytes) }
  }

  /// Besides marks with a combining class, some without one decompose into such marks.
  @Test(
    arguments: ["\u{300}", "\u{344}", "\u{f73}", "\u{f75}", "\u{f81}", "\u{1d165}"]
      as [Unicode.Scalar])
  func runsOfCombiningMarksAreLimited(mark: Unicode.Scalar) throws {
    _ = try String(fileText: Self.marks(30, mark).utf8)
    _ = try String(fileText: (Self.marks(30, mark) + Self.marks(30, mark)).utf8)
    #expect(throws: TextFault.combiningMarks) {
      try String(fileText: Self.marks(31, mark).utf8)
    }
    #expect(
      TextFault.combiningMarks.description == "a text with more than 30 combining marks in a row")
  }

  /// A text of runs that are within the limit is hashed and compared in linear time: 20 MB would
  /// take days otherwise.
  @Test(.timeLimit(.minutes(5))) func acceptedTextsAreHashedInLinearTime() throws {
    let text = String(repeating: Self.marks(15, "\u{300}") + Self.marks(15), count: 100_000)
    let read = try String(fileText: text.utf8)
    #expect(Set([read, read + "b"]).count == 2)
    #expect(read < read + "b")
  }

  /// The longest run that is refused is found without comparing anything.
  @Test(.timeLimit(.minutes(5))) func refusalsTakeLinearTime() {
    let bytes = Array(String(repeating: "\u{300}\u{323}", count: 5_000_000).utf8)
    #expect(throws: TextFault.combiningMarks) { try String(fileText: bytes) }
  }
}

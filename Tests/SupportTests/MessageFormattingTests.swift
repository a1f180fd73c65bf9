import Support
import Testing

struct MessageFormattingTests {
  @Test func controlCharactersAreEscapedAndLengthIsBounded() {
    #expect(shown("conv_in.weight") == "conv_in.weight")
    #expect(shown("a\u{1b}[31m\nb\0") == #"a\u{1b}[31m\u{a}b\u{0}"#)
    #expect(shown(String(repeating: "é", count: 200)).count == 121)
    #expect(shown("12345", limit: 4) == "1234…")
  }

  /// Characters that change the direction of a text, and separators of lines, are escaped too.
  @Test(arguments: [
    ("a\u{9b}31m", #"a\u{9b}31m"#), ("a\u{202e}b", #"a\u{202e}b"#), ("\u{2028}", #"\u{2028}"#),
    ("\u{2066}", #"\u{2066}"#), ("\u{7f}", #"\u{7f}"#), ("a\r\n", #"a\u{d}\u{a}"#),
    ("é日😀\u{200d}", "é日😀\u{200d}"),
  ])
  func whatTerminalsObeyIsEscaped(text: String, escaped: String) {
    #expect(shown(text) == escaped)
  }

  /// Line breaks and tabs of tables stay.
  @Test func printedTextKeepsItsLayout() {
    #expect(escapedForTerminal("a\tb\n  c") == "a\tb\n  c")
    #expect(escapedForTerminal("a\r\u{1b}[2J\nb") == #"a\u{d}\u{1b}[2J"# + "\nb")
  }

  /// A message has line breaks before indented lines alone, so a name cannot forge one.
  @Test func messagesAreBounded() {
    #expect(
      bounded(message: "m: faults\n  unet: 'a'\n  vae: 'b'") == "m: faults\n  unet: 'a'\n  vae: 'b'"
    )
    #expect(bounded(message: "m: 'x\ndecant: forged'") == #"m: 'x\u{a}decant: forged'"#)
    #expect(bounded(message: "a\t\u{1b}b\n") == #"a\u{9}\u{1b}b\u{a}"#)
    let long = bounded(message: String(repeating: "a", count: 50_000_000))
    #expect(long.count == 20_001 && long.hasSuffix("…"))
  }

  @Test func namesAreListed() {
    #expect(listed([]) == "nothing")
    #expect(listed(["a"]) == "a")
    #expect(listed(["a", "b", "c"]) == "a, b and c")
    #expect(listed((0..<15).map(String.init)).hasSuffix("10, 11 and 3 more"))
    #expect(listed(["a", "b", "c", "d"], limit: 2) == "a, b and 2 more")
    #expect(alternatives(["a", "b", "c"], limit: 3) == "a, b or c")
    #expect(alternatives(["a", "b", "c", "d"], limit: 3) == "a, b, c or 1 more")
  }

  @Test func hexadecimalDigitsFillTheWidth() {
    #expect(hexadecimalText(10 as UInt8) == "0a")
    #expect(hexadecimalText(0xbeef as UInt32) == "0000beef")
    #expect(hexadecimalText(UInt64.max) == "ffffffffffffffff")
    #expect(hexadecimalText([0, 255, 16], separator: " ") == "00 ff 10")
  }

  @Test func nearestNamesComeFirst() {
    let names = ["mid_block", "up_blocks.1", "down_blocks.1", "down_blocks.2"]
    #expect(nearestNames(to: "down_block.1", among: names, count: 2).first == "down_blocks.1")
    #expect(nearestNames(to: "zzz", among: names, within: 2).isEmpty)
    // Names at the same distance are sorted by name.
    #expect(
      nearestNames(to: "down_blocks.3", among: names.reversed(), count: 1) == ["down_blocks.1"])
    // Only the first bytes of a hostile name are compared.
    let long = String(repeating: "x", count: 1 << 20)
    #expect(nearestNames(to: long, among: [long, "y"], count: 1) == [long])
  }

  static let list = [["sd-v1-5", "Stable Diffusion 1.5"], ["sdcpp"], ["bk-small"], ["bk-tiny"]]

  @Test(
    arguments: [
      ("sd-v1-5", 0), ("SD-V1-5", 0), ("stable diffusion 1.5", 0), ("SDcpp", 1), ("bk_tiny", 3),
      ("sd15", nil), ("bk", nil), ("", nil), ("-", nil),
    ] as [(String, Int?)])
  func namesAreFoundInAnyForm(name: String, index: Int?) {
    #expect(member(named: name, of: Self.list) { $0 } == index.map { Self.list[$0] })
  }

  /// Names that begin with the given one, else names that differ in a third of the letters.
  @Test(
    arguments: [
      ("sd15", ["sd-v1-5"]), ("bk-", []), ("bks", ["bk-small"]), ("sdccp", ["sdcpp"]),
      ("zzz", []), ("", []),
    ] as [(String, [String])])
  func similarNamesAreSuggested(name: String, similar: [String]) {
    #expect(similarMembers(to: name, of: Self.list) { $0 }.map { $0[0] } == similar)
  }

  @Test func suggestionsAreWorded() {
    #expect(didYouMean([]) == "")
    #expect(didYouMean(["a", "b"]) == " (did you mean 'a' or 'b'?)")
    #expect(
      similarNames(to: "BK-SDM", among: ["bk-sdm-base", "ssd-1b", "bk-sdm-tiny"])
        == ["bk-sdm-base", "bk-sdm-tiny"])
  }

  @Test(arguments: [(0, "0 blocks"), (1, "1 block"), (2, "2 blocks")])
  func countsHaveSingularAndPlural(count: Int, words: String) {
    #expect(counted(count, "block") == words)
  }
}

import Testing
import Workflow

@Suite struct FormattingTests {
  @Test(arguments: [
    (0, "0 bytes"), (812, "812 bytes"), (1000, "1.00 kB"), (14_200_000, "14.2 MB"),
    (1_720_000_000, "1.72 GB"), (123_456_789_000, "123 GB"),
  ])
  func bytes(count: Int, text: String) { #expect(formatted(bytes: count) == text) }

  @Test(arguments: [
    (0, "0"), (999, "999"), (1000, "1,000"), (859_520_964, "859,520,964"), (-1234, "-1,234"),
  ])
  func counts(count: Int, text: String) { #expect(formatted(count: count) == text) }

  @Test(
    arguments: [
      (0, 3, "0.00"), (1, 3, "1.00"), (0.5, 3, "0.500"), (12.345, 3, "12.3"), (1234, 3, "1234"),
      (0.0123, 3, "0.0123"), (0.000123, 3, "1.23e-04"), (-2.5, 2, "-2.5"),
      (12_345_678, 3, "1.23e+07"),
      (.infinity, 3, "∞"), (-.infinity, 3, "-∞"), (.nan, 3, "nan"),
    ] as [(Double, Int, String)])
  func numbers(number: Double, digits: Int, text: String) {
    #expect(formatted(number, digits: digits) == text)
  }

  @Test func tablesLineUp() {
    #expect(
      table([["name", "bytes"], ["a", "12"], ["longer", "1"]], rightAligned: [1])
        == "name    bytes\na          12\nlonger      1")
    #expect(table([]) == "")
    #expect(table([["a"], ["b", "c"]]) == "a\nb  c")
  }
}

import Support
import Testing

@Suite struct FormattingTests {
  @Test(arguments: [
    (0, "0 bytes"), (812, "812 bytes"), (1000, "1.00 kB"), (14_200_000, "14.2 MB"),
    (1_720_000_000, "1.72 GB"), (123_456_789_000, "123 GB"), (999_499, "999 kB"),
    (999_999, "1.00 MB"),
  ])
  func bytes(count: Int, text: String) { #expect(formatted(bytes: count) == text) }

  @Test(arguments: [
    (0, "0"), (999, "999"), (1000, "1,000"), (859_520_964, "859,520,964"), (-1234, "-1,234"),
  ])
  func counts(count: Int, text: String) { #expect(formatted(count: count) == text) }

  @Test(
    arguments: [
      (0, 3, "0"), (1, 3, "1.00"), (0.5, 3, "0.500"), (12.345, 3, "12.3"), (1234, 3, "1234"),
      (9.996, 3, "10.0"), (0.0123, 3, "0.0123"), (0.000123, 3, "1.23e-04"), (-2.5, 2, "-2.5"),
      (12_345_678, 3, "1.23e+07"),
      (.infinity, 3, "∞"), (-.infinity, 3, "-∞"), (.nan, 3, "not a number"),
    ] as [(Double, Int, String)])
  func numbers(number: Double, digits: Int, text: String) {
    #expect(formatted(number, digits: digits) == text)
  }

  @Test(
    arguments: [
      (0, 0, "0"), (0.5, 2, "0.50"), (-2.345, 1, "-2.3"), (1e9, 0, "1000000000"),
    ] as [(Double, Int, String)])
  func decimals(number: Double, decimals: Int, text: String) {
    #expect(formatted(number, decimals: decimals) == text)
  }
}

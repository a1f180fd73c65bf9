/// A sum of non-negative numbers that is the same in whatever order they are added: 64 bits before
/// the binary point and 64 behind it.
///
/// Each number is first cut to a multiple of 2^-64, so the sum of n numbers is less than the true
/// one by at most n * 2^-64 and by nothing else. That is what makes merging statistics exact:
/// float64 sums would depend on which machine saw which prompt.
package struct FixedSum: Hashable, Sendable {
  package private(set) var whole: UInt64
  /// In units of 2^-64.
  package private(set) var fraction: UInt64

  package init(whole: UInt64 = 0, fraction: UInt64 = 0) {
    self.whole = whole
    self.fraction = fraction
  }

  /// The multiple of 2^-64 that is at most `value`; `nil` when `value` is negative, NaN, or 2^64
  /// or more.
  package init?(_ value: Double) {
    guard value >= 0, value < 0x1p64 else { return nil }
    whole = UInt64(value)
    fraction = UInt64((value - Double(whole)) * 0x1p64)
  }

  /// `false` when the sum would be 2^64 or more; it is then unchanged.
  package mutating func add(_ other: FixedSum) -> Bool {
    let (low, carry) = fraction.addingReportingOverflow(other.fraction)
    let (middle, first) = whole.addingReportingOverflow(other.whole)
    let (high, second) = middle.addingReportingOverflow(carry ? 1 : 0)
    if first || second { return false }
    self = FixedSum(whole: high, fraction: low)
    return true
  }

  /// The sum, rounded.
  package var value: Double { Double(whole) + Double(fraction) * 0x1p-64 }
}

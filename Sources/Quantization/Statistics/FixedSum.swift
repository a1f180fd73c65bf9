/// An exact sum of non-negative numbers: a fixed-point number with 64 bits before the binary point
/// and 64 bits after it.
///
/// The sum does not depend on the order of its terms, so the statistics of runs merge exactly.
/// Sums in float64 would depend on which machine ran which prompt. Each number is first truncated
/// to a multiple of 2^-64, so a sum of n numbers is too small by less than n * 2^-64.
package struct FixedSum: Hashable, Sendable {
  package private(set) var whole: UInt64
  /// In units of 2^-64.
  package private(set) var fraction: UInt64

  package init(whole: UInt64 = 0, fraction: UInt64 = 0) {
    self.whole = whole
    self.fraction = fraction
  }

  /// The largest multiple of 2^-64 that is at most `value`; `nil` when `value` is negative, NaN, or
  /// at least 2^64.
  package init?(_ value: Double) {
    guard value >= 0, value < 0x1p64 else { return nil }
    whole = UInt64(value)
    fraction = UInt64((value - Double(whole)) * 0x1p64)
  }

  /// Adds another sum.
  ///
  /// - Returns: `false` when the result would be at least 2^64; the sum is then unchanged.
  package mutating func add(_ other: FixedSum) -> Bool {
    let (low, carry) = fraction.addingReportingOverflow(other.fraction)
    let (middle, first) = whole.addingReportingOverflow(other.whole)
    let (high, second) = middle.addingReportingOverflow(carry ? 1 : 0)
    if first || second { return false }
    self = FixedSum(whole: high, fraction: low)
    return true
  }

  /// The sum, rounded to float64.
  package var value: Double { Double(whole) + Double(fraction) * 0x1p-64 }
}

/// Sums of four uniform random numbers: approximately normal, with tails that end at 3.5 standard
/// deviations.
package enum UniformSum {
  /// The standard deviation of ``centered(_:)``: the sum of four uniform 16-bit numbers has a
  /// variance of (2^32 - 1) / 3.
  package static let deviation = (Float(0x1p32) / 3).squareRoot()

  /// The sum of the four 16-bit numbers in `bits`, less its mean of 2 * 65535.
  package static func centered(_ bits: UInt64) -> Float {
    let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48)
    return Float(sum) - 131_070
  }
}

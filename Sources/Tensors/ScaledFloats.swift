internal import Support

extension StoredTensor {
  /// Stores `weights` in ``TensorEncoding/scaled(_:)`` of float8_e4m3fn. The scale maps the largest
  /// magnitude to 448, the largest number of the kind. Codes are rounded to nearest even.
  ///
  /// - Precondition: all weights are finite.
  package init(scalingToFloat8 weights: StoredTensor) {
    let largest = weights.largestMagnitude
    // A scale of zero would make every code a NaN. Any scale is right where all weights are zero.
    let scale = largest == 0 ? 1 : max(largest / 448, .leastNormalMagnitude)
    let length = weights.shape.rowLength
    let codes = ByteSlice(count: weights.shape.count) { target in
      weights.forEachRun { rows, floats in
        let first = rows.lowerBound * length
        for index in floats.indices {
          target[first + index] = float8Code(of: floats[index] / scale)
        }
      }
    }
    self.init(
      shape: weights.shape, encoding: .scaled(.f8e4m3), parts: [codes, ByteSlice([scale])])
  }

  /// The largest magnitude of the numbers, 0 for a tensor without any.
  private var largestMagnitude: Float {
    var largest: Float = 0
    forEachRun { _, floats in
      for index in floats.indices { largest = max(largest, abs(floats[index])) }
    }
    return largest
  }
}

/// The code of float8_e4m3fn (OCP FP8 E4M3) that is nearest to `number`, the even one of two.
/// Magnitudes above 448 get the code of 448, because the kind has no infinities.
package func float8Code(of number: Float) -> UInt8 {
  let sign = number.sign == .minus ? UInt8(0x80) : 0
  let magnitude = abs(number)
  if magnitude.isNaN { return sign | 0x7f }
  if magnitude >= 448 { return sign | 0x7e }
  // Below 2^-6, codes are multiples of 2^-9. 8 is the code of 2^-6.
  if magnitude < 0x1p-6 {
    return sign | UInt8((magnitude * 0x1p9).rounded(.toNearestOrEven))
  }
  // Rounds the 23 bits of the mantissa to 3. A carry increments the exponent.
  let bits = magnitude.bitPattern
  let rounded = (bits + 0x7ffff + (bits >> 20 & 1)) >> 20
  // The exponent's bias is 127 in float32 and 7 in float8.
  return sign | UInt8(rounded - (127 - 7) << 3)
}

private import Foundation
package import Tensors

/// PyTorch's random number generator on the CPU: `torch.Generator("cpu").manual_seed(seed)`.
///
/// The engine is the 32-bit Mersenne Twister. ``randn(_:)`` equals `torch.randn` in float32 on
/// x86-64 with AVX2 bit for bit. PyTorch's portable loop and other processors differ in the last
/// place of some numbers. As in diffusers' pipelines, one generator draws the initial noise of all
/// images of a batch at once, then the noise of each step.
///
/// Ported from PyTorch: `ATen/core/MT19937RNGEngine.h`, `ATen/core/DistributionsHelper.h` and
/// `ATen/native/cpu/DistributionTemplates.h`.
package struct TorchGenerator: Sendable {
  private var state: [UInt32]
  private var position = Self.size
  /// The second number of the last pair that the Box-Muller transform in float64 gave.
  private var pending: Double?

  private static let size = 624
  private static let shift = 397

  /// - Parameter seed: as for `manual_seed`. PyTorch's engine uses only the low 32 bits. A negative
  ///   seed of PyTorch has the same bits as an unsigned number.
  package init(seed: UInt64) {
    state = [UInt32](repeating: 0, count: Self.size)
    state[0] = UInt32(truncatingIfNeeded: seed)
    for index in 1..<Self.size {
      let last = state[index - 1]
      state[index] = 1_812_433_253 &* (last ^ last >> 30) &+ UInt32(index)
    }
  }

  /// Draws from the standard normal distribution: `torch.randn(shape, generator=…)`.
  package mutating func randn(_ shape: Shape) -> Tensor {
    Tensor(shape: shape, values: randn(count: shape.count))
  }

  /// Fewer than 16 numbers come one by one from a float64 transform, which keeps the second number
  /// of a pair for the next call. Otherwise uniform numbers are drawn and transformed in blocks of
  /// 16; if the last block is not full, the last 16 numbers are drawn again.
  package mutating func randn(count: Int) -> [Float] {
    guard count >= Self.block else { return (0..<count).map { _ in Float(normal()) } }
    var values = (0..<count).map { _ in uniform() }
    for start in stride(from: 0, to: count - Self.block + 1, by: Self.block) {
      transform(&values, from: start)
    }
    if count % Self.block != 0 {
      let start = count - Self.block
      for index in start..<count { values[index] = uniform() }
      transform(&values, from: start)
    }
    return values
  }

  private static let block = 16

  /// The Box-Muller transform of 16 uniform numbers: the first 8 give radii, the last 8 angles.
  private func transform(_ values: inout [Float], from start: Int) {
    // Not `Float.pi`, which Swift rounds toward zero.
    let turn = Float(2 * Double.pi)
    for index in start..<start + Self.block / 2 {
      let radius = (-2 * logarithm(1 - values[index])).squareRoot()
      let (sine, cosine) = sineAndCosine(turn * values[index + Self.block / 2])
      values[index] = radius * cosine
      values[index + Self.block / 2] = radius * sine
    }
  }

  private mutating func normal() -> Double {
    if let value = pending {
      pending = nil
      return value
    }
    let angle = 2 * Double.pi * uniformDouble()
    let radius = (-2 * log1p(-uniformDouble())).squareRoot()
    pending = radius * sin(angle)
    return radius * cos(angle)
  }

  /// A uniform number in [0, 1) with 24 random bits.
  private mutating func uniform() -> Float { Float(next() & 0xff_ffff) * 0x1p-24 }

  /// A uniform number in [0, 1) with 53 random bits.
  private mutating func uniformDouble() -> Double {
    let high = UInt64(next())
    let bits = high << 32 | UInt64(next())
    return Double(bits & (1 << 53 - 1)) * 0x1p-53
  }

  private mutating func next() -> UInt32 {
    if position == Self.size { refill() }
    var word = state[position]
    position += 1
    word ^= word >> 11
    word ^= word << 7 & 0x9d2c_5680
    word ^= word << 15 & 0xefc6_0000
    return word ^ word >> 18
  }

  private mutating func refill() {
    for index in 0..<Self.size {
      let mixed =
        state[index] & 0x8000_0000 | state[(index + 1) % Self.size] & 0x7fff_ffff
      let twist: UInt32 = mixed & 1 == 0 ? 0 : 0x9908_b0df
      state[index] = state[(index + Self.shift) % Self.size] ^ mixed >> 1 ^ twist
    }
    position = 0
  }
}

/// Natural logarithm of a normal positive number, rounded as PyTorch's AVX2 code rounds it.
///
/// The Cephes library's polynomial as in `ATen/native/cpu/avx_mathfun.h`, with the fused
/// multiply-adds that PyTorch's compiler generates for it.
private func logarithm(_ value: Float) -> Float {
  let bits = max(value, .leastNormalMagnitude).bitPattern
  var exponent = Float(Int(bits >> 23) - 0x7f) + 1
  let mantissa = Float(bitPattern: bits & 0x807f_ffff | 0x3f00_0000)
  var x = mantissa - 1
  if mantissa < 0.707106781186547524 {
    exponent -= 1
    x += mantissa
  }
  let square = x * x
  var y: Float = 7.0376836292E-2
  let coefficients: [Float] = [
    -1.1514610310E-1, 1.1676998740E-1, -1.2420140846E-1, 1.4249322787E-1, -1.6668057665E-1,
    2.0000714765E-1, -2.4999993993E-1, 3.3333331174E-1,
  ]
  for coefficient in coefficients { y = coefficient.addingProduct(y, x) }
  y = (exponent * -2.12194440E-4).addingProduct(y * x, square)
  y -= square * 0.5
  return (x + y).addingProduct(exponent, 0.693359375)
}

/// Sine and cosine of a number from 0 to two pi, rounded as PyTorch's AVX2 code rounds them.
private func sineAndCosine(_ value: Float) -> (sine: Float, cosine: Float) {
  let octant = (Int32(value * 1.27323954473516) + 1) & ~1
  let turns = Float(octant)
  // Pi / 4 is subtracted in three parts to keep precision.
  var x = value.addingProduct(turns, -0.78515625)
  x = x.addingProduct(turns, -2.4187564849853515625E-4)
  x = x.addingProduct(turns, -3.77489497744594108E-8)
  let square = x * x

  var even: Float = 2.443315711809948E-5
  even = Float(-1.388731625493765E-3).addingProduct(even, square)
  even = Float(4.166664568298827E-2).addingProduct(even, square)
  even = (square * -0.5).addingProduct(even * square, square) + 1

  var odd: Float = -1.9515295891E-4
  odd = Float(8.3321608736E-3).addingProduct(odd, square)
  odd = Float(-1.6666654611E-1).addingProduct(odd, square)
  odd = x.addingProduct(odd * square, x)

  let isSwapped = octant & 2 != 0
  let sine = isSwapped ? even : odd
  let cosine = isSwapped ? odd : even
  return (octant & 4 != 0 ? -sine : sine, (octant - 2) & 4 == 0 ? -cosine : cosine)
}

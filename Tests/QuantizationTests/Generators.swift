import Quantization
import Testing

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// Approximately normal: the sum of twelve uniform numbers.
  mutating func normal() -> Float {
    (0..<12).reduce(Float(-6)) { sum, _ in sum + Float.random(in: 0..<1, using: &self) }
  }

  /// Normal weights, about one in `every` of them `factor` times as large.
  mutating func weights(_ count: Int, outlierEvery every: Int = 50, factor: Float = 6) -> [Float] {
    (0..<count).map { _ in
      let value = normal() * 0.02
      return Int.random(in: 0..<every, using: &self) == 0 ? value * factor : value
    }
  }

  mutating func meanSquares(_ count: Int) -> [Float] {
    (0..<count).map { _ in
      let value = normal()
      return value * value * value * value
    }
  }
}

/// `#expect` for calls of mutating methods.
func check(_ condition: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(condition, sourceLocation: sourceLocation)
}

/// The rounding method of that name.
func method(_ name: String) throws -> any RoundingMethod {
  try #require(RoundingMethods.named(name))
}

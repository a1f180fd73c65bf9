import CKernels
private import Foundation
import Kernels
import Tensors
import TestSupport
import Testing

func referenceSiLU(_ x: Double) -> Double { x / (1 + exp(-x)) }

/// The element-wise functions: `silu`, `gelu`, `quickGELU`, the gate of GEGLU, `add` and
/// `addChannelBias`.
struct ActivationTests {
  private static func referenceGELU(_ x: Double) -> Double { x * 0.5 * erfc(-x * 0.5.squareRoot()) }

  static let functions: [(String, @Sendable (Tensor) -> Tensor, @Sendable (Double) -> Double)] = [
    ("silu", { silu($0) }, referenceSiLU),
    ("gelu", { gelu($0) }, referenceGELU),
    ("quickGELU", { quickGELU($0) }, { $0 / (1 + exp(-1.702 * $0)) }),
  ]

  @Test(arguments: functions.indices)
  func everyCountMatchesTheReference(_ index: Int) {
    let (name, function, reference) = Self.functions[index]
    onEveryInstructionSet { level in
      for count in Array(0...40) + [1000, 100_000] {
        let x = Tensor(
          shape: [count], values: randomTensor([count], seed: count).values.map { $0 * 6 })
        let found = function(x)
        let distance = error(found.values, x.values.map { reference(Double($0)) })
        #expect(found.shape == x.shape)
        #expect(distance < Tolerance.functions, "\(name), level \(level), \(count): \(distance)")
      }
    }
  }

  /// Checks the error of each number, not only the mean error, on a dense grid. At its ends the
  /// functions are almost 0 and almost the identity.
  @Test(arguments: functions.indices)
  func everyNumberIsAccurate(_ index: Int) {
    let (name, function, reference) = Self.functions[index]
    let x = (-40_000...40_000).map { Float($0) * 0x1p-11 }
    onEveryInstructionSet { level in
      let found = function(Tensor(shape: [x.count], values: x)).values
      let worst = zip(x, found).map { x, y -> (Double, Float) in
        let expected = reference(Double(x))
        // Relative to the result, or to 0.17, the depth of the minimum of gelu.
        return (abs(Double(y) - expected) / max(abs(expected), 0.17), x)
      }.max { $0.0 < $1.0 }
      #expect((worst?.0 ?? 1) < 5e-7, "\(name), level \(level), at \(worst?.1 ?? 0)")
    }
  }

  @Test(arguments: functions.indices)
  func extremeValuesAndNaN(_ index: Int) {
    let function = Self.functions[index].1
    onEveryInstructionSet { _ in
      let x: [Float] = [100, 1e4, 1e30, -100, -1e4, -1e30, 0, .nan, .infinity]
      // Once in a vector and once in its tail.
      let found = function(Tensor(shape: [18], values: x + x)).values
      for half in [found[..<9], found[9...]].map(Array.init) {
        #expect(half[..<3] == [100, 1e4, 1e30])
        // On the far negative side, the largest result is that of -1e30, which is 1e30 / exp(88).
        #expect(half[3..<6].allSatisfy { abs($0) < 1e-8 })
        #expect(half[6] == 0)
        #expect(half[7].isNaN)
        #expect(half[8] == .infinity)
      }
    }
  }

  @Test func exponentialsAreAccurate() {
    let x = (-87_000...88_000).map { Float($0) / 1000 }
    onEveryInstructionSet { level in
      var found = [Float](repeating: 0, count: x.count)
      decant_exponentials(x, &found, x.count)
      let worst = zip(x, found).map { abs(Double($1) / exp(Double($0)) - 1) }.max() ?? 1
      // Two units in the last place.
      #expect(worst < 0x1p-22, "level \(level)")
    }
  }

  @Test func powersOfTwoAreAccurate() {
    let x = (-126_000...127_000).map { Float($0) / 1000 }
    let far: [Float] = [-126.1, -1e30, -.infinity, .nan]
    onEveryInstructionSet { level in
      var found = [Float](repeating: 0, count: x.count)
      decant_exponentials2(x, &found, x.count)
      let worst = zip(x, found).map { abs(Double($1) / exp2(Double($0)) - 1) }.max() ?? 1
      // Two units in the last place.
      #expect(worst < 0x1p-22, "level \(level)")
      decant_exponentials2(far, &found, far.count)
      #expect(found[..<3].allSatisfy { $0 == 0 } && found[3].isNaN, "level \(level)")
    }
  }

  @Test func exponentialsOfExtremeValues() {
    let x: [Float] = [-87.1, -1e30, -.infinity, 89, .infinity, .nan]
    onEveryInstructionSet { _ in
      var found = [Float](repeating: 1, count: 6)
      decant_exponentials(x, &found, 6)
      #expect(found[..<3] == [0, 0, 0])
      #expect(found[3] > 1e38 && found[3] == found[4])
      #expect(found[5].isNaN)
    }
  }

  @Test func softmaxSubtractsTheLargest() {
    onEveryInstructionSet { level in
      for count in Array(1...40) + [77, 4096] {
        for shift in [Float(0), 1000, -1000] {
          let x = randomTensor([count], seed: count).values.map { $0 * 8 + shift }
          var found = x
          let sum = decant_softmax(&found, count)
          let top = Double(x.max() ?? 0)
          let expected = x.map { exp(Double($0) - top) }
          let distance = error(found, expected)
          // Half a unit in the last place.
          #expect(distance < 0x1p-24, "level \(level), \(count): \(distance)")
          #expect(abs(Double(sum) / expected.reduce(0, +) - 1) < Tolerance.sums)
        }
      }
    }
  }

  @Test func gateIsTheSecondHalf() {
    onEveryInstructionSet { level in
      for width in Array(1...20) + [1280] {
        for rows in [0, 1, 3, 40] {
          let x = randomTensor([rows, 2 * width], seed: width)
          let found = geglu(x)
          let expected = (0..<rows * width).map { index in
            let first = index / width * 2 * width + index % width
            return Double(x.values[first]) * Self.referenceGELU(Double(x.values[first + width]))
          }
          #expect(found.shape == [rows, width])
          #expect(
            error(found.values, expected) < Tolerance.functions, "level \(level), \(x.shape)")
        }
      }
    }
  }

  @Test func sums() {
    for count in [0, 1, 7, 16, 33, 100_000] {
      let (a, b) = (randomTensor([count], seed: 1), randomTensor([count], seed: 2))
      #expect(add(a, b).values == zip(a.values, b.values).map { $0 + $1 })
    }
  }

  @Test func channelBias() {
    let x = randomTensor([2, 3, 4, 5], seed: 1)
    let bias = randomTensor([2, 3], seed: 2)
    let found = addChannelBias(x, bias)
    #expect(found.shape == x.shape)
    #expect(found.values == x.values.indices.map { x.values[$0] + bias.values[$0 / 20] })
  }

  @Test func argumentsDoNotChange() {
    let x = randomTensor([1, 2, 4, 4], seed: 1)
    let copy = Tensor(shape: x.shape, values: x.values.map { $0 })
    _ = (silu(x), gelu(x), add(x, x), addChannelBias(x, Tensor(zeros: [1, 2])))
    _ = groupNorm(x, groups: 1, scale: [1, 1], bias: [0, 0], epsilon: 1)
    #expect(x == copy)
  }

  @Test func threadsDoNotMatter() {
    let x = randomTensor([100, 1280], seed: 1)
    let found = onEveryThreadCount { [silu(x), gelu(x), quickGELU(x), add(x, x)] }
    #expect(found[0] == found[1] && found[0] == found[2])
  }
}

import Kernels
import Models
import Quantization
import Support
import Tensors
import TestSupport
import Testing

/// ggml's K-quants: their search, and the layers that they cannot hold.
struct KQuantTests {
  private static let names = ["q4_k", "q5_k", "q6_k"]

  private func encode(
    _ floats: [Float], _ shape: Shape, _ name: String, meanSquares: [Float]? = nil
  ) throws -> EncodedTensor {
    let scheme = try #require(Schemes.named(name))
    return try scheme.encode(
      StoredTensor(shape: shape, floats: floats), method: try method("round"),
      statistics: meanSquares.map { LayerStatistics(meanSquares: $0) })
  }

  /// Numbers that a block can represent, with all codes of a group, the largest group scale and the
  /// largest group minimum, are found again.
  @Test(arguments: [4, 5]) func numbersOfBlocksWithMinimumsAreKept(bits: Int) throws {
    let levels = (1 << bits) - 1
    var floats: [Float] = []
    for block in 0..<2 {
      for group in 0..<8 {
        let scale = Float(63 - 7 * group) / 1024
        let minimum = Float(group * 9) / Float(block == 0 ? 256 : 64)
        for index in 0..<32 {
          floats.append(scale * Float(index * 5 % (levels + 1)) - minimum)
        }
      }
    }
    let encoded = try encode(floats, [1, 512], "q\(bits)_k")
    #expect(encoded.tensor.floats() == floats)
    #expect(encoded.figures.sqnr == .infinity)
    let parts = encoded.tensor.parts.dropFirst(bits == 5 ? 2 : 1).map(\.array)
    let scales: [UInt8] = [63, 56, 49, 42, 35, 28, 21, 14]
    let minimums: [UInt8] = [0, 9, 18, 27, 36, 45, 54, 63]
    #expect(parts[1] == scales + scales)
    #expect(parts[3] == minimums + minimums)
    // 1/1024, and 1/256 and 1/64, as float16.
    #expect(parts[0] == [0x00, 0x14, 0x00, 0x14])
    #expect(parts[2] == [0x00, 0x1c, 0x00, 0x24])
  }

  @Test func numbersOfSymmetricBlocksAreKept() throws {
    let floats = (0..<256).map { index -> Float in
      let scale = Float(-128 + 7 * (index / 16)) / 4096
      return scale * Float(index % 16 == 0 ? -32 : index * 5 % 63 - 31)
    }
    let encoded = try encode(floats, [1, 256], "q6_k")
    #expect(encoded.tensor.floats() == floats)
    #expect(encoded.tensor.codes(row: 0)[16] == -32)
  }

  /// The noise of normal weights. Rounding to nearest in Q4_0 has 21.3 dB, in Q5_0 27.4 dB.
  @Test(arguments: [("q4_k", 22.5...24.2), ("q5_k", 28.6...30.4), ("q6_k", 34.5...36.6)])
  func normalWeightsHaveTheExpectedNoise(name: String, range: ClosedRange<Double>) throws {
    var generator = SeededGenerator(3)
    for factor in [Float(1), 1e-4, 1000] {
      let floats = (0..<64 * 512).map { _ in generator.normal() * factor }
      let encoded = try encode(floats, [64, 512], name)
      #expect(range.contains(encoded.figures.sqnr), "\(encoded.figures.sqnr)")
      let measures = ErrorMeasures(
        reference: StoredTensor(shape: [64, 512], floats: floats), candidate: encoded.tensor)
      #expect(abs(measures.sqnr - encoded.figures.sqnr) < 1e-9)
      // The largest code of each group scale is within its bits.
      let part = encoded.tensor.encoding.partNames.firstIndex(of: "group_scales") ?? 0
      if name != "q6_k" { #expect(encoded.tensor.parts[part].array.allSatisfy { $0 <= 63 }) }
    }
  }

  @Test(arguments: names) func calibrationWeighsErrors(name: String) throws {
    var generator = SeededGenerator(4)
    let floats = generator.weights(16 * 256)
    let meanSquares = generator.meanSquares(256)
    let plain = try encode(floats, [16, 256], name)
    let weighted = try encode(floats, [16, 256], name, meanSquares: meanSquares)
    let compared = RoundingFigures(
      of: plain.tensor, reference: StoredTensor(shape: [16, 256], floats: floats),
      statistics: LayerStatistics(meanSquares: meanSquares))
    let (found, before) = (
      try #require(weighted.figures.weightedSQNR), try #require(compared.weightedSQNR)
    )
    #expect(found > before + 0.3, "\(found) dB, \(before) dB without")
  }

  @Test(arguments: names) func doesNotDependOnThreadsOrInstructionSets(name: String) throws {
    var generator = SeededGenerator(5)
    let floats = generator.weights(40 * 512)
    var first: [[UInt8]]?
    for (threads, form) in [(1, 0), (1, 1), (3, 2), (2, 0)] {
      let parts = try withThreads(threads) {
        try withInstructionSet(form) {
          try encode(floats, [40, 512], name).tensor.parts.map(\.array)
        }
      }
      first = first ?? parts
      #expect(parts == first)
    }
  }

  @Test(arguments: names) func zerosAndTinyNumbersAreKept(name: String) throws {
    let zeros = try encode([Float](repeating: 0, count: 512), [2, 256], name)
    #expect(zeros.tensor.floats().allSatisfy { $0 == 0 })
    #expect(try encode([], [0, 256], name).tensor.shape == [0, 256])
    // Equal numbers below 0 are a minimum.
    let equal = try encode([Float](repeating: -0.5, count: 256), [1, 256], name)
    #expect(equal.tensor.floats().allSatisfy { abs($0 + 0.5) < 0.001 })
  }

  @Test(arguments: names) func unstorableWeightsAreRefused(name: String) throws {
    var floats = [Float](repeating: 0.1, count: 256)
    floats[9] = .nan
    #expect(throws: SchemeError.nonfinite) { try encode(floats, [1, 256], name) }
    for large in [Float(1e9), 1e30] {
      floats[9] = large
      #expect {
        _ = try encode(floats, [1, 256], name)
      } throws: { error in
        guard case .scaleOverflowsHalf(let scale) = error as? SchemeError else { return false }
        return scale > 65504
      }
    }
  }

  /// Rows that are not multiples of 256 get another type, as in llama.cpp; those that it cannot hold
  /// either stay float16.
  @Test(arguments: [("q4_k", "int5-g32"), ("q5_k", "int5-g32"), ("q6_k", "int8-g32")])
  func otherRowsGetTheFallback(name: String, fallback: String) throws {
    let modules = [("a", 512), ("b", 320)].map { module, length in
      ModuleSpec(
        name: module, kind: .linear, role: .linear, block: module,
        weight: TensorSpec(name: module + ".weight", shape: [8, length]), bias: nil)
    }
    let scheme = try #require(Schemes.named(name))
    let plan = try QuantizationPlan(modules: modules, choices: .init(scheme: scheme))
    #expect(plan.entries.map(\.scheme.name) == [name, fallback])
    #expect(
      plan.entries.map(\.reason) == [
        "linear layer", "linear layer; \(name) has no groups for rows of 320",
      ])
  }
}

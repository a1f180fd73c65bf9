import Kernels
import Quantization
import Support
import Tensors
import Testing

struct SchemeTests {
  static let integers = Schemes.all.filter { $0 is any IntegerScheme }.map(\.name)

  @Test func everySchemeHasItsOwnName() {
    #expect(
      Schemes.all.map(\.name) == [
        "f32", "f16", "bf16", "int16", "int8", "int8-g32", "int8-g64", "int8-g128", "int6", "int5",
        "int5-g32", "int4-g32", "int4-g64", "q6_k", "q5_k", "q4_k", "fp8", "int8-convrot",
      ])
    for scheme in Schemes.all {
      #expect(Schemes.named(scheme.name)?.encoding == scheme.encoding)
    }
    #expect(Schemes.named("int3") == nil)
    // ggml's names of the same encodings.
    #expect(Schemes.named("q8_0")?.name == "int8-g32")
    #expect(Schemes.named("q4_0")?.name == "int4-g32")
    #expect(Schemes.named("Q5_0")?.name == "int5-g32")
    #expect(Schemes.named("Q4_K")?.name == "q4_k" && Schemes.named("Q4_K_M")?.name == "q4_k")
    // Case and punctuation do not matter.
    #expect(Schemes.named("INT8_G32")?.name == "int8-g32")
    #expect(Schemes.named("FP8-E4M3FN")?.name == "fp8")
  }

  /// Of the schemes, int8 alone has a form for rotated weights.
  @Test func schemesOfRotatedWeights() {
    let rotated = Schemes.all.compactMap { scheme in
      Schemes.rotating(scheme).map { [scheme.name, $0.name] }
    }
    #expect(rotated == [["int8", "int8-convrot"], ["int8-convrot", "int8-convrot"]])
  }

  /// The rounding noise of normal weights whose largest lies 3.2 to 4.4 standard deviations out.
  @Test func int8OfNormalWeightsHasTheExpectedNoise() throws {
    var generator = SeededGenerator(3)
    let weights = StoredTensor(
      shape: [64, 1280], floats: (0..<64 * 1280).map { _ in generator.normal() })
    let scheme = try #require(Schemes.named("int8"))
    let encoded = try scheme.encode(weights, method: try method("round"), statistics: nil)
    #expect((40.0...43.0).contains(encoded.figures.sqnr))
    let measures = ErrorMeasures(reference: weights, candidate: encoded.tensor)
    #expect(abs(measures.sqnr - encoded.figures.sqnr) < 1e-9)
  }

  @Test(arguments: integers, [true, false])
  func theSearchIsNeverWorseThanRounding(name: String, isCalibrated: Bool) throws {
    let scheme = try #require(Schemes.named(name))
    for seed in 0..<20 {
      var generator = SeededGenerator(UInt64(seed))
      let length = Int.random(in: 1...400, using: &generator)
      let weights = StoredTensor(shape: [6, length], floats: generator.weights(6 * length))
      let statistics =
        isCalibrated ? LayerStatistics(meanSquares: generator.meanSquares(length)) : nil
      let plain = try scheme.encode(weights, method: try method("round"), statistics: statistics)
      let best = try scheme.encode(weights, method: try method("mse"), statistics: statistics)
      #expect(best.figures.plainSQNR == plain.figures.sqnr)
      if isCalibrated {
        let weighted = try #require(best.figures.weightedSQNR)
        #expect(weighted >= (try #require(best.figures.plainWeightedSQNR)))
      } else {
        #expect(best.figures.sqnr >= best.figures.plainSQNR)
        #expect(best.figures.weightedSQNR == nil)
      }
      #expect(best.tensor.encoding == scheme.encoding)
    }
  }

  @Test(arguments: integers)
  func codesAreSymmetricAndScalesWide(name: String) throws {
    let scheme = try #require(Schemes.named(name))
    let bits = try #require(scheme.encoding.codeFormat?.bits)
    var generator = SeededGenerator(5)
    let weights = StoredTensor(shape: [7, 101], floats: generator.weights(707))
    let tensor = try scheme.encode(weights, method: try method("round"), statistics: nil).tensor
    let codes = (0..<7).flatMap { tensor.codes(row: $0) }
    let largest = (1 << (bits - 1)) - 1
    #expect(codes.map { abs(Int($0)) }.max() == largest)
  }

  @Test(arguments: [1, 2, 3, 31, 32, 33, 65])
  func int4PacksAndUnpacks(length: Int) throws {
    let scheme = try #require(Schemes.named("int4-g32"))
    // Integers from -7 to 7, with a 7 in every group: scales are 1 and rounding is exact.
    let floats = (0..<3 * length).map { index -> Float in
      let column = index % length
      return column % 32 == 0 ? 7 : Float(index % 15) - 7
    }
    let encoded = try scheme.encode(
      StoredTensor(shape: [3, length], floats: floats), method: try method("round"), statistics: nil
    )
    #expect(encoded.tensor.floats() == floats)
    #expect(encoded.figures.sqnr == .infinity)
    if length % 2 == 1 {
      let rowBytes = length / 2 + 1
      for row in 1...3 { #expect(encoded.tensor.parts[0].array[row * rowBytes - 1] >> 4 == 0) }
    }
  }

  @Test(arguments: integers, [Float.nan, .infinity, -.infinity])
  func integerSchemesRefuseNonfiniteWeights(name: String, value: Float) throws {
    let scheme = try #require(Schemes.named(name))
    let weights = StoredTensor(shape: [2, 3], floats: [0, 1, 2, 3, value, 5])
    #expect(throws: SchemeError.nonfinite) {
      try scheme.encode(weights, method: try method("mse"), statistics: nil)
    }
  }

  /// Codes have 3 bits of mantissa, whatever the size of a weight.
  @Test func float8OfNormalWeightsHasTheExpectedNoise() throws {
    let scheme = try #require(Schemes.named("float8_e4m3fn"))
    var generator = SeededGenerator(3)
    let weights = StoredTensor(
      shape: [64, 1280], floats: (0..<64 * 1280).map { _ in generator.normal() })
    let encoded = try scheme.encode(weights, method: try method("mse"), statistics: nil)
    #expect(encoded.tensor.encoding == .float8)
    #expect((31.0...32.5).contains(encoded.figures.sqnr))
    let nan = StoredTensor(shape: [2], floats: [1, .nan])
    #expect(throws: SchemeError.nonfinite) {
      try scheme.encode(nan, method: try method("mse"), statistics: nil)
    }
  }

  /// A row of normal weights with one outlier of 40 standard deviations: the rotation divides it
  /// among 256 weights.
  @Test func rotationReducesTheErrorOfRowsWithOutliers() throws {
    var generator = SeededGenerator(3)
    var floats = (0..<8 * 768).map { _ in generator.normal() }
    for row in 0..<8 { floats[row * 768 + 90 * row] = 40 }
    let weights = StoredTensor(shape: [8, 768], floats: floats)
    func encoded(_ name: String) throws -> EncodedTensor {
      try #require(Schemes.named(name)).encode(
        weights, method: try method("mse"), statistics: nil)
    }
    let rotated = try encoded("convrot")
    #expect(rotated.tensor.encoding.name == "int8-convrot")
    #expect(rotated.figures.sqnr > (try encoded("int8").figures.sqnr) + 6)
    // The error in the weights is that of the rotated weights.
    let measures = ErrorMeasures(reference: weights, candidate: rotated.tensor)
    #expect(abs(measures.sqnr - rotated.figures.sqnr) < 1e-3)
  }

  @Test func halfRefusesMagnitudesAbove65504() throws {
    let half = try #require(Schemes.named("f16"))
    #expect(throws: SchemeError.overflows(limit: 65504)) {
      try half.encode(
        StoredTensor(shape: [2], floats: [1, 65520]), method: try method("round"), statistics: nil)
    }
    let largest = StoredTensor(shape: [2], floats: [65519, -65504])
    #expect(
      try half.encode(largest, method: try method("round"), statistics: nil).tensor.floats() == [
        65504, -65504,
      ])
    let bfloat = try #require(Schemes.named("bf16"))
    #expect(
      try bfloat.encode(
        StoredTensor(shape: [1], floats: [65536]), method: try method("round"), statistics: nil
      ).tensor.floats() == [65536])
  }

  @Test func groupSchemesRefuseScalesAbove65504() throws {
    let grouped = try #require(Schemes.named("int8-g64"))
    let weights = StoredTensor(shape: [1, 2], floats: [1, 127 * 70000])
    #expect(throws: SchemeError.scaleOverflowsHalf(70000)) {
      try grouped.encode(weights, method: try method("round"), statistics: nil)
    }
    let rows = try #require(Schemes.named("int8"))
    #expect(
      try rows.encode(weights, method: try method("round"), statistics: nil).tensor.parts[0].array
        == [
          0, 127,
        ])
  }

  @Test(arguments: ["f32", "f16", "bf16"])
  func plainSchemesRoundToNearest(name: String) throws {
    let scheme = try #require(Schemes.named(name))
    var generator = SeededGenerator(9)
    let floats = generator.weights(1000)
    let encoded = try scheme.encode(
      StoredTensor(shape: [10, 100], floats: floats), method: try method("round"), statistics: nil)
    let expected = StoredTensor(
      shape: [10, 100], floats: floats, as: name == "f32" ? .f32 : name == "f16" ? .f16 : .bf16)
    #expect(encoded.tensor.parts[0].array == expected.parts[0].array)
    #expect(encoded.figures.clip == nil)
    let range = ["f32": 1e9...Double.infinity, "f16": 70...80, "bf16": 52...60][name]
    #expect(range?.contains(encoded.figures.sqnr) == true)
  }
}

import Support
import Tensors
import Testing

/// Float8 codes with a scale for each tensor.
struct ScaledFloatTests {
  /// Every finite code is the code of its own number.
  @Test func everyCodeComesBack() {
    for code in UInt8.min...UInt8.max where code & 0x7f != 0x7f {
      let tensor = StoredTensor(
        shape: [1], encoding: .plain(.f8e4m3), parts: [ByteSlice([code])])
      #expect(float8Code(of: tensor.floats()[0]) == code)
    }
  }

  /// Numbers between two codes, and the codes that PyTorch 2.13 gives.
  @Test(
    arguments: [
      (0x1p-10, 0x00), (0x3p-10, 0x02), (0x5p-10, 0x02), (0xfp-10, 0x08), (0x1p-11, 0x00),
      (1.0625, 0x38), (1.1875, 0x3a), (-1.0625, 0xb8), (447, 0x7e), (300, 0x79), (-0.0, 0x80),
      (448, 0x7e),
    ] as [(Float, UInt8)])
  func numbersRoundToNearestEven(number: Float, code: UInt8) {
    #expect(float8Code(of: number) == code)
  }

  /// float8_e4m3fn has no infinities.
  @Test(arguments: [(449, 0x7e), (464, 0x7e), (1e30, 0x7e), (-500, 0xfe)] as [(Float, UInt8)])
  func largeNumbersSaturate(number: Float, code: UInt8) {
    #expect(float8Code(of: number) == code)
  }

  @Test func theLargestMagnitudeGetsTheLargestCode() {
    let weights = StoredTensor(shape: [2, 2], floats: [0.5, -896, 2, 0])
    let tensor = StoredTensor(scalingToFloat8: weights)
    #expect(tensor.encoding == .float8)
    #expect(tensor.parts.map(\.array) == [[0x28, 0xfe, 0x38, 0], [0, 0, 0, 0x40]])
    #expect(tensor.floats() == weights.floats())
    #expect(!tensor.hasNonfinite)
  }

  @Test(arguments: [[0, 0], [], [.leastNonzeroMagnitude, 0]] as [[Float]])
  func tinyTensorsHaveAScale(numbers: [Float]) {
    let tensor = StoredTensor(
      scalingToFloat8: StoredTensor(shape: [numbers.count], floats: numbers))
    #expect(tensor.floats() == numbers.map { _ in 0 })
    #expect(!tensor.hasNonfinite)
  }

  @Test func numbersThatAreNotFiniteAreFound() {
    let scale = ByteSlice([1] as [Float])
    let codes = StoredTensor(
      shape: [2], encoding: .float8, parts: [ByteSlice([0x7f, 0] as [UInt8]), scale])
    #expect(codes.hasNonfinite)
    let infinite = ByteSlice([.infinity] as [Float])
    #expect(
      StoredTensor(shape: [2], encoding: .float8, parts: [ByteSlice([1, 0] as [UInt8]), infinite])
        .hasNonfinite)
  }
}

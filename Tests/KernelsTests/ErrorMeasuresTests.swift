import Kernels
import Tensors
import Testing

struct ErrorMeasuresTests {
  @Test func measuresKnownNumbers() {
    // Differences 0, 1, 0, -2; squares of the reference 1 + 4 + 4 + 16 = 25, of differences 5.
    let measures = ErrorMeasures(reference: [1, 2, -2, 4], candidate: [1, 3, -2, 2])
    #expect(measures.count == 4)
    #expect(measures.signal == 25)
    #expect(measures.error == 5)
    #expect(measures.power == 18)
    #expect(measures.largestDifference == 2)
    #expect(measures.relativeRMS == (5.0 / 25).squareRoot())
    #expect(abs(measures.sqnr - 6.989_700_043_360_188) < 1e-14)
    #expect(abs(measures.cosine - 19 / (25.0 * 18).squareRoot()) < 1e-15)
    // Peak 10: 10 log10(100 / 1.25).
    #expect(abs(measures.psnr(peak: 10) - 19.030_899_869_919_436) < 1e-14)
  }

  @Test func aTenthOfTheSignalIsTwentyDecibels() {
    let reference: [Float] = (0..<100).map { Float($0 % 7) - 3 }
    let measures = ErrorMeasures(reference: reference, candidate: reference.map { $0 * 1.125 })
    #expect(abs(measures.sqnr - 18.061_799_739_838_87) < 1e-14)
    #expect(measures.relativeRMS == 0.125)
    #expect(abs(measures.cosine - 1) < 1e-15)
  }

  @Test func equalNumbersHaveNoError() {
    let measures = ErrorMeasures(reference: [1, 2], candidate: [1, 2])
    #expect(measures.sqnr == .infinity)
    #expect(measures.psnr(peak: 1) == .infinity)
    #expect(measures.relativeRMS == 0)
    #expect(ErrorMeasures().sqnr == .infinity)
    #expect(ErrorMeasures().cosine == 1)
  }

  @Test func aZeroReferenceHasNoSignal() {
    let measures = ErrorMeasures(reference: [0, 0], candidate: [1, 0])
    #expect(measures.sqnr == -.infinity)
    #expect(measures.relativeRMS == .infinity)
    #expect(measures.cosine == 0)
  }

  @Test func notANumberIsNotHidden() {
    let measures = ErrorMeasures(reference: [1, 1, 1], candidate: [1, .nan, 1])
    #expect(measures.largestDifference.isNaN)
    #expect(measures.sqnr.isNaN)
  }

  @Test func sumsInDoublePrecision() {
    // In float32 the ones would vanish beside 2^24 squared.
    let reference = [Float](repeating: 1, count: 1000) + [0x1p24]
    let measures = ErrorMeasures(reference: reference, candidate: reference)
    #expect(measures.signal == 0x1p48 + 1000)
  }

  @Test func measuresStoredTensorsOfOtherKinds() {
    let floats = (0..<3 * 700).map { (index: Int) -> Float in Float(index * 37 % 1009) / 1009 - 0.5
    }
    let reference = StoredTensor(shape: [3, 700], floats: floats)
    let half = StoredTensor(shape: [3, 700], floats: floats, as: .f16)
    let measures = ErrorMeasures(reference: reference, candidate: half)
    #expect(measures == ErrorMeasures(reference: floats, candidate: half.floats()))
    #expect((70...80).contains(measures.sqnr))
  }
}

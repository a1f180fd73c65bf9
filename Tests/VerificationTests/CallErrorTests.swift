import Calibration
import Support
import Tensors
import Testing
import Verification

/// Errors over recorded calls, and the verdict that follows from them. The values are computed by hand.
struct CallErrorTests {
  private static let sizes = [ImageSize(width: 64, height: 64), ImageSize(width: 128, height: 128)]

  /// A call whose guided prediction has an error, and whose other predictions have half of it.
  private func call(
    _ step: Int, error: Double, signal: Double = 1, guided: Bool = true, size: Int = 0
  ) -> CallError {
    let half = SquaredError(error: error / 4, signal: signal)
    return CallError(
      step: step, timestep: Double(900 - 100 * step), size: Self.sizes[size],
      predictions: Predictions(
        conditional: half, unconditional: guided ? half : nil,
        guided: SquaredError(error: error, signal: signal)))
  }

  /// Squares are summed over prompts before the root is taken.
  @Test func errorsArePooledOverPrompts() {
    let errors = CallErrors([
      call(0, error: 9, signal: 30), call(0, error: 16, signal: 70),
      call(1, error: 0.01), call(1, error: 0.01),
    ])
    #expect(errors.steps.map(\.step) == [0, 1])
    #expect(errors.steps.map(\.timestep) == [900, 800])
    #expect(errors.steps[0].pooled.guided == 0.5)
    #expect(errors.steps[0].pooled.conditional == 0.25)
    #expect(errors.steps[0].pooled.unconditional == 0.25)
    #expect(abs(errors.steps[1].pooled.guided - 0.1) < 1e-15)
    #expect(abs(errors.steps[0].guided.worst - 0.3.squareRoot()) < 1e-15)
    #expect(abs(errors.spreads.guided.mean - 0.3) < 1e-15)
    #expect(abs(errors.spreads.guided.median - 0.3) < 1e-15)
    #expect(errors.spreads.guided.worst == 0.5)
  }

  @Test func spreadsOverSteps() {
    #expect(ErrorSpread([])?.mean == nil)
    let odd = ErrorSpread([0.4, 0.1, 0.1])
    #expect(odd?.median == 0.1 && odd?.worst == 0.4)
    let even = ErrorSpread([8, 1, 2, 4])
    #expect(even?.mean == 3.75 && even?.median == 3 && even?.worst == 8)
    let broken = ErrorSpread([1, .nan, 2])
    #expect(broken?.mean.isNaN == true && broken?.median.isNaN == true)
    #expect(broken?.worst.isNaN == true)
  }

  @Test func withoutGuidanceThereIsNoUnconditionalPrediction() {
    let errors = CallErrors([call(0, error: 1, guided: false)])
    #expect(errors.spreads.unconditional == nil)
    #expect(errors.json.object?["unconditional"] == .null)
    #expect(errors.json.object?["conditional"]?.object?["mean"] == .number(50))
    #expect(errors.json.object?["guided"]?.object?["worst"] == .number(100))
  }

  @Test func zeroIsNoErrorAndANonzeroOneOfNothingIsInfinite() {
    #expect(SquaredError(error: 0, signal: 0).relative == 0)
    #expect(SquaredError(error: 1, signal: 0).relative == .infinity)
  }

  @Test func sizesAreReportedApart() {
    let errors = CallErrors([
      call(0, error: 0.01), call(0, error: 0.09, size: 1), call(1, error: 0.04),
    ])
    #expect(errors.sizes == Self.sizes)
    #expect(errors.of(Self.sizes[0])?.calls.count == 2)
    #expect(errors.of(Self.sizes[1])?.spreads.guided.mean == 0.3)
    #expect(errors.of(ImageSize(width: 8, height: 8)) == nil)
    #expect(abs(errors.steps[0].pooled.guided - 0.05.squareRoot()) < 1e-15)
  }

  // MARK: - Verdict

  @Test(arguments: [
    ([0.02, 0.02], Verdict.indistinguishable), ([0.02, 0.0201], .close),
    ([0, 0, 0, 0.08], .indistinguishable), ([0, 0, 0, 0, 0.081], .close),
    ([0.1], .close), ([0.1001], .different), ([0.3], .different), ([0.3001], .broken),
    ([0.01, .nan], .broken), ([.infinity], .broken), ([0], .indistinguishable),
  ])
  func boundsOfVerdicts(errors: [Double], verdict: Verdict) throws {
    let spread = try #require(ErrorSpread(errors))
    #expect(Verdict(guided: spread, isRetrained: false) == verdict)
    #expect(
      Verdict(guided: spread, isRetrained: true)
        == (spread.mean.isNaN ? .broken : .retrained))
  }

  private func tensor(
    _ error: Double, _ after: TensorEncoding, before: TensorEncoding = .plain(.f32)
  ) -> VerificationReport.TensorResult {
    VerificationReport.TensorResult(
      component: "unet", name: "x", reference: "x", shape: [4], before: before, after: after,
      sqnr: 0, relativeError: error, cosine: 1, largestDifference: 0)
  }

  @Test func whatRoundingExplains() {
    #expect(tensor(3e-4, .plain(.f16)).isRetrained == false)
    #expect(tensor(5e-2, .plain(.f16)).isRetrained == true)
    #expect(tensor(3e-4, .plain(.f32)).isRetrained == true)
    #expect(tensor(2e-3, .plain(.bf16)).isRetrained == false)
    #expect(tensor(2e-3, .plain(.f32), before: .plain(.bf16)).isRetrained == false)
    #expect(tensor(0, .plain(.f32)).isRetrained == false)
    #expect(tensor(.nan, .plain(.f32)).isRetrained == true)
    #expect(tensor(0.5, .int8).isRetrained == nil)
  }

  /// One damaged tensor, or some that a LoRA changed, are no training.
  @Test func mostKeptTensorsOfARetrainedModelDiffer() {
    let (same, other) = (tensor(0, .plain(.f16)), tensor(0.3, .plain(.f16)))
    #expect([other, other, same].areRetrained(in: "unet"))
    #expect(![other, same].areRetrained(in: "unet"))
    #expect(![other, other, same].areRetrained(in: "vae"))
    #expect(![tensor(0.5, .int8)].areRetrained(in: "unet"))
  }
}

import Calibration
import Models
import Sampling
import Support
import Synchronization
import Tensors
import TestSupport
import Testing
import Verification

/// Which calls a verification records, repeats and uses again.
struct RecordedCallTests {
  private func plan(
    _ verifier: Verifier, baselines: Int = 0, recorded: RecordedCalls? = nil
  ) throws -> (plan: VerificationPlan, report: VerificationReport) {
    let model = try smallModel()
    var found: VerificationPlan?
    let report = try verifier.verify(
      reference: .init(name: "original", model: model),
      candidate: .init(name: "moved", model: try model.moved(by: 0.01)),
      baselines: (0..<baselines).map { .init(name: "\($0)", model: model) },
      recorded: recorded, planned: { found = $0 })
    return (try #require(found), report)
  }

  /// Calls of a run of the small model, as a calibration records them.
  private func recorded(moved share: Float = 0, guidanceScale: Double = 3) throws -> RecordedCalls {
    let model = try smallModel()
    let sampler = try Sampler(share == 0 ? model : try model.moved(by: share))
    var request = SamplingRequest(prompt: "")
    (request.steps, request.guidanceScale) = (4, guidanceScale)
    let size = ImageSize(width: 16, height: 16)
    let subject = try SamplerSubject(sampler, request, sizes: [size], recordedSteps: 3)
    let run = CalibrationRun(prompt: "a cat", negativePrompt: "", seed: 3, size: size)
    let recorder = CallRecorder(run: run, recording: [0, 1, 3])
    _ = try sampler.denoise(subject.settings.request(for: run), observer: recorder)
    return RecordedCalls(recorder.calls, subject.settings)
  }

  /// Two runs of 5 calls, as PNDM has for 4 steps, and 2 calls again for the outputs of blocks.
  @Test func theReferenceRunsOnce() throws {
    let (plan, report) = try plan(verifier(), baselines: 2)
    #expect(plan.referenceCalls == 10 + 2)
    #expect(plan.candidateCalls == 10 + 10)
    #expect(plan.baselineCalls == 20)
    #expect(plan.images == 2 && !plan.reusesCalls)
    #expect(report.calls.count == 10 && !report.calls.isOfCalibration)
    #expect(report.errors[1].spreads.guided.worst == 0)
  }

  /// The second prompt has the second size; images have the first.
  @Test func promptsTakeTurnsWithSizes() throws {
    let other = ImageSize(width: 32, height: 16)
    let (plan, report) = try plan(verifier(images: 1, otherSizes: [other]))
    #expect(plan.referenceCalls == 10 + 2)
    #expect(plan.candidateCalls == 10 + 5)
    #expect(report.errors[0].sizes == [report.settings.size, other])
    #expect(report.images.count == 1)
    // With more images than prompts, further seeds are used.
    let more = try self.plan(verifier(images: 3)).report
    #expect(more.images.map(\.seed) == [7, 7, 8])
    #expect(more.images[2].prompt == more.images[0].prompt)
    #expect(more.calls.count == 10)
  }

  @Test func callsWithoutGuidance() throws {
    let report = try plan(verifier(images: 0, guidanceScale: 1)).report
    let spreads = report.errors[0].spreads
    #expect(spreads.unconditional == nil)
    #expect(spreads.guided == spreads.conditional)
    #expect(spreads.guided.mean > 0)
  }

  /// The calls of a calibration, of which some steps are recorded.
  @Test func callsThatWereRecordedAreUsedAgain() throws {
    let (plan, report) = try plan(verifier(images: 1), recorded: recorded())
    #expect(plan.reusesCalls)
    // The image's run, and two calls for blocks.
    #expect(plan.referenceCalls == 5 + 2)
    #expect(plan.candidateCalls == 3 + 5)
    #expect(report.calls.count == 3 && report.calls.isOfCalibration)
    #expect(report.errors[0].steps.map(\.step) == [0, 1, 3])
    #expect(report.steps.map(\.step) == [0, 1, 2, 3, 4])
    #expect(report.steps[2].errors == [nil] && report.steps[2].latents[0] != nil)
    #expect(report.json["calls"]?.object?["of"] == "calibration")
    #expect(report.notes.contains { $0.hasPrefix("The errors are those on the calls of the") })
  }

  /// Calls of another model would be compared with its predictions.
  @Test func callsOfAnotherModelAreNotUsed() throws {
    let (plan, report) = try plan(verifier(images: 0), recorded: recorded(moved: 0.1))
    #expect(!plan.reusesCalls)
    #expect(report.calls.count == 10 && !report.calls.isOfCalibration)
    #expect(report.notes.contains { $0.hasPrefix("The calls of the calibration are not used") })
  }

  /// Half of a number's last of 11 bits: a relative error of about 0.03 %.
  @Test func roundingToHalf() throws {
    let model = try smallModel()
    let report = try verifier(images: 0).verify(
      reference: .init(name: "original", model: model),
      candidate: .init(name: "half", model: model, roundsToHalf: true))
    let error = report.errors[0].spreads.conditional.mean
    #expect(error > 1e-4 && error < 2e-3, "\(error)")
    #expect(report.verdict == .indistinguishable)
  }

  /// A model whose every weight and bias differs.
  @Test func aRetrainedModelIsNotJudgedByErrors() throws {
    let model = try smallModel()
    let report = try verifier(images: 0).verify(
      reference: .init(name: "original", model: model),
      candidate: .init(name: "trained", model: try model.scaled(by: 1.2)))
    #expect(report.verdict == .retrained)
    #expect(report.json["verdict"] == "retrained")
  }
}

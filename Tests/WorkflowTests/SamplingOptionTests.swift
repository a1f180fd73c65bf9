import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// Every setting of `generate` and `verify` changes the result.
@Suite struct SamplingOptionTests {
  private func latents(
    _ compute: Compute = .f32, _ change: (inout GenerateRequest) -> Void = { _ in }
  ) async throws -> [UInt8] {
    try await withTemporaryFolder { folder in
      var request = GenerateRequest.standard
      request.prompts = ["a red circle"]
      request.steps = 2
      (request.width, request.height) = (16, 16)
      change(&request)
      let path = folder + "/latents.safetensors"
      _ = try await GenerateJob(
        models: [tiny], reading: InputOptions(), compute: compute, request: request, output: nil,
        grid: nil, latentsOutput: path, replacing: false
      ).run()
      return try SafetensorsFile(path: path).tensor("latents").parts[0].array
    }
  }

  @Test func everySettingOfGenerateChangesTheLatents() async throws {
    let standard = try await latents()
    #expect(try await latents() == standard)
    let changes: [(String, @Sendable (inout GenerateRequest) -> Void)] = [
      ("prompt", { $0.prompts = ["a blue square"] }),
      ("negative prompt", { $0.negativePrompt = "blurry" }),
      ("steps", { $0.steps = 3 }),
      ("guidance scale", { $0.guidanceScale = 3 }),
      ("scheduler", { $0.scheduler = "euler" }),
      ("seed", { $0.seed = 1 }),
      ("width", { $0.width = 32 }),
      ("height", { $0.height = 32 }),
      ("count", { $0.count = 2 }),
    ]
    for (setting, change) in changes {
      #expect(try await latents(.f32, change) != standard, "\(setting)")
    }
    let compute = try #require(Compute(name: "int8"))
    #expect(try await latents(compute) != standard)
  }

  @Test func theInitialNoiseIsRead() async throws {
    try await withTemporaryFolder { folder in
      // The latents of one run are other noise for the next.
      let path = folder + "/noise.safetensors"
      var request = GenerateRequest.standard
      request.prompts = ["a red circle"]
      request.steps = 1
      (request.width, request.height) = (16, 16)
      _ = try await GenerateJob(
        models: [tiny], reading: InputOptions(), compute: .f32, request: request, output: nil,
        grid: nil, latentsOutput: path, replacing: false
      ).run()
      #expect(try await latents { $0.latentsPath = path } != latents())
    }
  }

  @Test func theInitialImageAndItsStrengthChangeTheLatents() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.png"
      var request = GenerateRequest.standard
      request.prompts = ["a red circle"]
      request.steps = 1
      (request.width, request.height) = (16, 16)
      _ = try await GenerateJob(
        models: [tiny], reading: InputOptions(), compute: .f32, request: request, output: path,
        grid: nil, latentsOutput: nil, replacing: false
      ).run()
      func begun(strength: Double) async throws -> [UInt8] {
        try await latents {
          $0.steps = 4
          $0.initImagePath = path
          $0.strength = strength
        }
      }
      let half = try await begun(strength: 0.5)
      #expect(try await latents { $0.steps = 4 } != half)
      #expect(try await begun(strength: 1) != half)
    }
  }

  @Test func everySettingOfVerifyChangesTheSummary() async throws {
    try await withTemporaryFolder { folder in
      let candidate = folder + "/a.decant"
      _ = try await QuantizeJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: candidate),
        isDryRun: false, request: QuantizationRequest(type: "int4-g64"), calibration: nil
      ).run()
      let prompts = folder + "/prompts.txt"
      try "a red circle\n".write(toFile: prompts, atomically: true, encoding: .utf8)
      func verified(_ change: (inout VerificationRequest) -> Void) async throws
        -> VerificationOutcome
      {
        var request = smallVerification
        change(&request)
        return try await VerifyJob(
          reference: tiny, candidate: candidate, reading: InputOptions(), request: request,
          report: nil, replacing: false
        ).run()
      }
      func summary(_ outcome: VerificationOutcome) throws -> JSONValue {
        try #require(outcome.json["compared"]?.array?.first?["summary"])
      }
      let outcome = try await verified { _ in }
      let standard = try summary(outcome)
      let used = outcome.json["settings"]?["prompts"]?.array?.compactMap(\.string)
      let int8 = try #require(Compute(name: "int8"))
      let first = Set(try #require(used))
      let changes: [(String, @Sendable (inout VerificationRequest) -> Void)] = [
        ("prompts", { $0.promptsPath = prompts }),
        ("prompt limit", { $0.promptLimit = 2 }),
        ("excluded prompts", { $0.promptsExcluded = first }),
        ("steps", { $0.steps = 3 }),
        ("seeds", { $0.seeds = 2 }),
        ("pictures", { $0.pictures = 3 }),
        ("guidance scale", { $0.guidanceScale = 1 }),
        ("scheduler", { $0.scheduler = "euler" }),
        ("size", { $0.sizes = [ImageSize(width: 32, height: 16)] }),
        ("arithmetic", { $0.compute = int8 }),
        ("reference's arithmetic", { $0.referenceCompute = int8 }),
      ]
      for (setting, change) in changes {
        #expect(try summary(try await verified(change)) != standard, "\(setting)")
      }
      let baselines = try await verified { $0.hasBaselines = true }
      #expect(baselines.json["compared"]?.array?.count == 3)
      let thresholds: [(String, @Sendable (inout VerificationRequest) -> Void)] = [
        ("PSNR", { $0.minimumPSNR = 300 }), ("SSIM", { $0.minimumSSIM = 1 }),
        ("latents", { $0.maximumLatentError = 0 }), ("steps", { $0.maximumStepError = 0 }),
      ]
      for (threshold, change) in thresholds {
        let outcome = try await verified(change)
        #expect(throws: CheckNotMet.self, "\(threshold)") { try outcome.check() }
      }
    }
  }
}

import Checkpoints
import Foundation
import ModelSources
import Support
import Synchronization
import Tensors
import TestSupport
import Testing
import Workflow

/// Work for which the memory does not suffice is refused before it begins.
@Suite struct MemoryCheckTests {
  private struct Machine: MachineMemory {
    let freeBytes: Int?
  }

  /// Runs the job with `free` bytes of memory.
  private func refusal(_ job: any Job, free: Int) async -> MemoryError? {
    await #expect(throws: MemoryError.self) {
      try await FreeMemory.$machine.withValue(Machine(freeBytes: free)) {
        _ = try await job.run { event in
          switch event {
          case .stage(.generating), .stage(.calibrating), .stage(.verifying), .stage(.computing),
            .stage(.measuring):
            Issue.record("\(job): \(event)")
          default: break
          }
        }
      }
    }
  }

  private func generate(_ output: String, side: Int, count: Int = 1) -> GenerateJob {
    var request = GenerateRequest.standard
    (request.prompts, request.steps, request.count) = (["a"], 1, count)
    (request.width, request.height) = (side, side)
    return GenerateJob(
      models: [tiny], reading: InputOptions(), compute: .f32, request: request, output: output,
      grid: nil, latentsOutput: nil, replacing: false)
  }

  @Test func everyJobThatComputesChecksTheMemory() async throws {
    try await withTemporaryFolder { folder in
      let large = ImageSize(width: 8192, height: 8192)
      var (calibrating, verification) = (smallCalibration, smallVerification)
      calibrating.set(steps: 1, sizes: [large])
      verification.sizes = [large]
      let shrinks = [(calibrating, smallVerification), (smallCalibration, verification)].map {
        ShrinkJob(
          model: tiny, reading: InputOptions(), output: OutputRequest(path: folder + "/s.decant"),
          cut: nil, quantization: QuantizationRequest(type: "int8"), calibration: nil,
          calibrating: $0, verification: $1, report: nil)
      }
      let jobs: [any Job] = [
        generate(folder + "/a.png", side: 8192),
        VerifyJob(
          reference: tiny, candidate: tiny, reading: InputOptions(), request: verification,
          report: nil, replacing: false),
        CalibrateJob(of: tiny, calibrating, to: folder + "/c"),
        BenchJob(
          models: [tiny], families: [], reading: InputOptions(), computes: [.f32], steps: 1,
          size: large, guidanceScale: 1, profiles: false, kernels: false),
      ]
      for job in jobs + shrinks {
        let error = try #require(await refusal(job, free: 1 << 30))
        #expect(error.work == "making an image of 8192x8192" && error.free == 1 << 30)
        #expect(error.needed > 1 << 30 && error.remedy == .adjust(.size, .smaller))
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  /// The check refuses no work that fits: with exactly the bytes of the bound, images are made.
  @Test func theBoundIsExact() async throws {
    try await withTemporaryFolder { folder in
      let job = generate(folder + "/a.png", side: 64, count: 2)
      let error = try #require(await refusal(job, free: 0))
      #expect(
        error.description
          == "making 2 images of 64x64 needs at least \(formatted(bytes: error.needed)) of memory for the "
          + "activations of the \(error.component); 0 bytes is free")
      #expect(await refusal(job, free: error.needed - 1) != nil)
      for free in [error.needed, nil] {
        try await FreeMemory.$machine.withValue(Machine(freeBytes: free)) {
          _ = try await job.run()
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
          try FileManager.default.removeItem(atPath: folder + "/" + name)
        }
      }
    }
  }

  /// The memory of earlier images is not counted again.
  @Test func aSessionServesManyRequests() async throws {
    var request = GenerateRequest.standard
    (request.prompts, request.steps, request.width, request.height) = (["a", "b"], 1, 64, 64)
    let session = ModelSession(
      path: tiny, reading: InputOptions(), settings: ComputeSettings())
    for _ in 0..<2 { #expect(try await session.generate(request).count == 2) }
    request.width = 8192
    let wide = request
    await #expect(throws: MemoryError.self) {
      try await FreeMemory.$machine.withValue(Machine(freeBytes: 1 << 20)) {
        _ = try await session.generate(wide)
      }
    }
  }

  @Test(arguments: [
    (ForwardJob.Component.vaeDecoder, "latent", [1, 4, 64, 64]),
    (.vaeEncoder, "image", [1, 3, 64, 64]), (.textEncoder, "input_ids", [64, 77]),
  ])
  func forwardChecksItsInputs(
    component: ForwardJob.Component, name: String, extents: [Int]
  ) async throws {
    try await withTemporaryFolder { folder in
      let inputs = folder + "/in.safetensors"
      let shape = Shape(extents)
      let tensor = StoredTensor(
        Tensor(shape: shape, values: [Float](repeating: 1, count: shape.count)))
      try writeSafetensors(MemorySource(location: inputs, [(name, tensor)]), to: inputs)
      let job = ForwardJob(
        model: tiny, reading: InputOptions(), compute: .f32, component: component,
        inputs: inputs, output: folder + "/out.safetensors", replacing: false)
      let error = try #require(await refusal(job, free: 1000))
      #expect(error.work == "\(inputs): computing '\(name)' \(shape)")
      #expect(error.component == component.rawValue)
      try await FreeMemory.$machine.withValue(Machine(freeBytes: error.needed)) {
        _ = try await job.run()
      }
    }
  }
}

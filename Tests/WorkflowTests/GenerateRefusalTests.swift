import Checkpoints
import ModelSources
import Sampling
import Support
import Synchronization
import Tensors
import TestSupport
import Testing
import Workflow

/// Requests to generate that are refused for every client, whatever the model.
@Suite struct GenerateRefusalTests {
  private func request(_ change: (inout GenerateRequest) -> Void = { _ in }) -> GenerateRequest {
    var request = GenerateRequest.standard
    request.prompts = ["a cat"]
    request.steps = 2
    request.scheduler = "euler"
    (request.width, request.height) = (16, 16)
    change(&request)
    return request
  }

  private func session(_ path: String) -> ModelSession {
    ModelSession(path: path, reading: InputOptions(), settings: ComputeSettings())
  }

  private func job(
    _ request: GenerateRequest, models: [String] = ["/nonexistent"], output: String? = "a.png",
    grid: String? = nil, latentsOutput: String? = nil
  ) -> GenerateJob {
    GenerateJob(
      models: models, reading: InputOptions(), compute: .f32, request: request, output: output,
      grid: grid, latentsOutput: latentsOutput, replacing: false)
  }

  /// A session and a job refuse the same requests, before they read the model.
  @Test func contradictorySettingsAreRefused() async {
    let changes: [(GenerateError, @Sendable (inout GenerateRequest) -> Void)] = [
      (.noPrompt, { $0.prompts = [] }),
      (.maskAlone(path: "mask.png"), { $0.maskPath = "mask.png" }),
      (.strengthAlone(0.5), { $0.strength = 0.5 }),
      (
        .latentsForPrompts(2),
        {
          $0.prompts = ["a cat", "a dog"]
          $0.latentsPath = "in.safetensors"
        }
      ),
    ]
    for (error, change) in changes {
      let request = request(change)
      let session = session("/nonexistent")
      await #expect(throws: error) {
        try await session.generate(request) { Issue.record("\(error): \($0)") }
      }
      await #expect(throws: error) { try await session.compare(with: session, request) }
      await #expect(throws: error) { try await job(request).run() }
    }
  }

  @Test func missingAndAmbiguousOutputsAreRefused() async {
    let two = request { $0.prompts = ["a cat", "a dog"] }
    let jobs: [(GenerateError, GenerateJob)] = [
      (.noModel, job(request(), models: [])),
      (.noOutput, job(request(), output: nil)),
      (.outputsOfModels(["a", "b"]), job(request(), models: ["a", "b"])),
      (
        .outputsOfModels(["a", "b"]),
        job(
          request(), models: ["a", "b"], output: nil, grid: "a.png", latentsOutput: "a.safetensors")
      ),
      (.savedLatentsOfPrompts(2), job(two, latentsOutput: "a.safetensors")),
    ]
    for (error, job) in jobs {
      await #expect(throws: error) { try await job.run() }
    }
  }

  @Test(
    arguments: [
      (.noModel, "no model is named"), (.noPrompt, "no prompt is given"),
      (.maskAlone(path: "m.png"), "the mask m.png is given without an initial image"),
      (.strengthAlone(0.5), "a strength of 0.5 is given without an initial image"),
      (.latentsForPrompts(2), "initial latents are given with 2 prompts, expected one prompt"),
      (.noOutput, "no output is named"),
      (.savedLatentsOfPrompts(3), "the latents of 3 prompts cannot be saved, expected one prompt"),
      (
        .outputsOfModels(["a", "b"]),
        "2 models are named: a and b; files of single images and of latents are written for one model"
      ),
    ] as [(GenerateError, String)])
  func refusalsStateFacts(error: GenerateError, text: String) {
    #expect(error.description == text)
  }

  @Test func strengthsOutOfRangeAreRefused() async throws {
    let session = session(tiny)
    for strength in [-0.5, 0, 1.5, .infinity] {
      let request = request {
        $0.initImagePath = fixture("golden/pipeline-short-0.png")
        $0.strength = strength
      }
      await #expect(throws: SamplingError.strength(strength)) {
        try await session.generate(request)
      }
    }
  }

  /// A job names a file for each image, so an impossible number is refused first.
  @Test(arguments: [0, -1, 1025, Int.max])
  func numbersOfImagesOutOfRangeAreRefused(count: Int) async {
    let request = request {
      $0.prompts = ["a cat", "a dog"]
      $0.count = count
    }
    let error = SamplingError.count(count)
    await #expect(throws: error) { try await session("/nonexistent").generate(request) }
    await #expect(throws: error) { try await job(request).run() }
  }

  /// Numbers that the U-Net cannot use are refused by the name of their file.
  @Test(arguments: [
    (Float.nan, "holds NaN or infinite numbers"), (-.infinity, "holds NaN or infinite numbers"),
  ])
  func latentsThatAreNotFiniteAreRefused(value: Float, reason: String) async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/in.safetensors"
      var noise = Tensor(zeros: [1, 4, 2, 2])
      noise.values[3] = value
      try writeSafetensors(
        MemorySource(location: path, [("latents", StoredTensor(noise))]), to: path)
      let request = request { $0.latentsPath = path }
      await #expect(throws: JobError("\(path): tensor 'latents' \(reason)")) {
        try await session("/nonexistent").generate(request)
      }
    }
  }

  @Test func latentsThatAreNotRealNumbersAreRefused() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/in.safetensors"
      let tensor = StoredTensor(
        shape: [1, 4, 2, 2], encoding: .plain(.c64),
        parts: [ByteSlice([UInt8](repeating: 0, count: 128))])
      try writeSafetensors(MemorySource(location: path, [("latents", tensor)]), to: path)
      let request = request { $0.latentsPath = path }
      await #expect(
        throws: JobError("\(path): tensor 'latents' is \(tensor.encoding.name), expected numbers")
      ) { try await session("/nonexistent").generate(request) }
    }
  }

  /// Latents that overflow are refused before the VAE decodes them.
  @Test func overflowingLatentsAreNotDecoded() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/in.safetensors"
      let noise = Tensor(shape: [1, 4, 2, 2], values: [Float](repeating: 3e38, count: 16))
      try writeSafetensors(
        MemorySource(location: path, [("latents", StoredTensor(noise))]), to: path)
      let request = request { $0.latentsPath = path }
      let progress = Mutex<[Int]>([])
      do {
        _ = try await session(tiny).generate(request) { event in
          if case .progress(let done, _) = event { progress.withLock { $0.append(done) } }
        }
        Issue.record("the latents were accepted")
      } catch let error as JobError {
        #expect(
          error.description == "\(tiny): the latents are NaN or infinite after the last step")
        #expect(error.remedy != nil)
      }
      // Two steps; the image would be the third unit.
      #expect(progress.withLock { $0 } == [1, 2])
    }
  }

  @Test(arguments: [-1, 0, 1025])
  func threadCountsOutOfRangeAreRefused(count: Int) async {
    let error = JobError("the number of threads is \(count); expected 1 to 1024")
    #expect(throws: error) { try ComputeSettings(threads: count) }
    await #expect(throws: error) { try await job(request()).run(threads: count) { _ in } }
  }

  @Test func theLimitsOfThreadCountsAreAccepted() throws {
    #expect(try [1, 1024].map { try ComputeSettings(threads: $0).threads } == [1, 1024])
    #expect(ComputeSettings().threads == nil)
  }
}

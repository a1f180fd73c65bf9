import Sampling
import Support
import Synchronization
import Tensors
import TestSupport
import Testing
import Workflow

/// What a session tells about its model, and its previews.
@Suite struct SessionFactsTests {
  private func request() -> GenerateRequest {
    var request = GenerateRequest.standard
    request.prompts = ["a red circle on a blue background"]
    request.steps = 6
    request.scheduler = "euler"
    return request
  }

  @Test func factsAreThoseOfTheModel() async throws {
    let facts = try await ModelSession(
      path: miniature, reading: InputOptions(), settings: ComputeSettings()
    ).facts()
    #expect(facts.name == "mini-sd" && facts.size == ImageSize(width: 64, height: 64))
    #expect(facts.sideFactor == 8 && facts.scheduler == "ddim" && facts.steps == 25)
    #expect(facts.guidanceScale == 7.5 && facts.parameters == 5_523_876)
    #expect((facts.fileBytes ?? 0) > 13_000_000)
  }

  @Test func aFamilyIsServedWithRandomWeights() async throws {
    let session = ModelSession(family: "bk-sdm-tiny", settings: ComputeSettings())
    let facts = try await session.facts()
    #expect(facts.family == "bk-sdm-tiny" && facts.fileBytes == nil)
    #expect(facts.size == ImageSize(width: 512, height: 512))
    #expect(session.verification == nil)
    let unknown = ModelSession(family: "bk-sdm", settings: ComputeSettings())
    await #expect(throws: JobError.self) { try await unknown.facts() }
  }

  /// A preview is nearer to the image than its mean color, and other latents have other previews.
  @Test func previewsResembleTheImages() async throws {
    let session = ModelSession(
      path: miniature, reading: InputOptions(), settings: ComputeSettings())
    #expect(session.preview(of: Tensor(zeros: [1, 4, 8, 8])) == nil)
    let early = Mutex<Image?>(nil)
    let made = try await session.generate(request(), reportsLatents: true) { event in
      guard case .latents(1, _, let latents) = event else { return }
      early.withLock { $0 = session.preview(of: latents) }
    }
    let preview = try #require(session.preview(of: made[0].latents))
    let exact = made[0].images[0].resized(
      to: ImageSize(width: preview.width, height: preview.height))
    #expect(preview.width == 8 && preview.height == 8)
    func difference(_ pixels: [UInt8]) -> Int {
      zip(pixels, exact.pixels).reduce(0) { $0 + abs(Int($1.0) - Int($1.1)) }
    }
    let count = exact.pixels.count / 3
    let mean = (0..<3).map { channel in
      stride(from: channel, to: exact.pixels.count, by: 3).reduce(0) { $0 + Int(exact.pixels[$1]) }
        / count
    }
    let flat = (0..<exact.pixels.count).map { UInt8(mean[$0 % 3]) }
    let (found, ofFlat) = (difference(preview.pixels), difference(flat))
    #expect(found < ofFlat, "\(found) of \(ofFlat)")
    let first = try #require(early.withLock { $0 })
    #expect(first != preview)
  }

  /// An image in memory gives what the same image in a file gives.
  @Test func imagesInMemoryAreStarts() async throws {
    try await withTemporaryFolder { folder in
      let session = ModelSession(
        path: tiny, reading: InputOptions(), settings: ComputeSettings())
      let image = Image(width: 16, height: 16, red: 200, green: 90, blue: 10)
      try image.write(to: folder + "/start.png", replacing: false)
      var fromFile = request()
      (fromFile.width, fromFile.height, fromFile.strength) = (16, 16, 0.5)
      var fromMemory = fromFile
      fromFile.initImagePath = folder + "/start.png"
      fromMemory.initImage = image
      let expected = try await session.generate(fromFile)
      let found = try await session.generate(fromMemory)
      #expect(found.map(\.latents) == expected.map(\.latents))
      fromMemory.initImage = nil
      let alone = fromMemory
      await #expect(throws: GenerateError.strengthAlone(0.5)) {
        try await session.generate(alone)
      }
    }
  }
}

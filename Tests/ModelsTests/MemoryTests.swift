import ModelSources
import Models
import Support
import Tensors
import Testing

/// Estimates of the memory that a program needs to make an image.
@Suite struct MemoryTests {
  private func model(_ family: String) throws -> ModelSource {
    try #require(try Family.named(family)?.synthesize(seed: 0, kind: .f16))
  }

  private func phase(
    _ name: MemoryEstimate.Phase.Name, of model: ModelSource, in program: ProgramMemory, side: Int
  ) throws -> MemoryEstimate.Phase {
    let estimate = try MemoryEstimate(
      model, in: program, size: ImageSize(width: side, height: side))
    return try #require(estimate.phases.first { $0.name == name })
  }

  /// `measured` is the peak of live tensors in torch 2.13.0 with diffusers 0.42.1, in float32 on the
  /// processor: a batch of two for the U-Net, one image for the decoder. `measurements.md` describes
  /// how it was measured.
  @Test(arguments: [
    ("sd-v1-5", MemoryEstimate.Phase.Name.unet, 256, 68_663_296, 68_643_336),
    ("sd-v1-5", .unet, 512, 273_233_920, 273_115_656),
    ("sdxl-base-1.0", .unet, 512, 166_543_360, 166_435_384),
    ("sdxl-base-1.0", .unet, 1024, 662_388_736, 661_887_544),
    ("sd-v2-1", .unet, 512, 273_391_616, 273_404_424),
    ("sd-v2-1", .unet, 768, 614_342_656, 614_355_464),
    ("bk-sdm-tiny", .unet, 512, 262_748_160, 262_760_968),
    ("segmind-vega", .unet, 1024, 662_388_736, 662_422_072),
    ("sd-v1-5", .decoder, 256, 201_342_976, 201_359_360),
    ("sd-v1-5", .decoder, 512, 805_371_904, 805_437_440),
    ("sdxl-base-1.0", .decoder, 1024, 3_221_487_616, 3_221_749_760),
  ])
  func activationsAreThoseOfTorch(
    family: String, name: MemoryEstimate.Phase.Name, side: Int, bytes: Int, measured: Int
  ) throws {
    let phase = try phase(
      name, of: model(family), in: ProgramMemory(activationBytes: 4), side: side)
    #expect(phase.activations == bytes)
    #expect(abs(Double(bytes) / Double(measured) - 1) < 0.001)
  }

  /// What Decant itself takes at least. `measured` is the growth of its resident memory in float32 from
  /// a smaller image, on Zen 4, scaled to this one.
  @Test func leastActivationsAreBelowThoseOfDecant() throws {
    let model = try Model.bind(try model("sd-v1-5"))
    let latent = ImageSize(width: 64, height: 64)
    let image = ImageSize(width: 512, height: 512)
    for (bound, bytes, measured) in [
      (LeastActivations.unet(model.unet, latent: latent, batch: 2), 136_616_960, 188_300_000),
      (LeastActivations.decoder(model.vae, latent: latent), 604_028_928, 633_600_000),
      (LeastActivations.encoder(model.vae, image: image), 360_011_092, 406_800_000),
    ] {
      #expect(bound == bytes)
      #expect(bound < measured && bound > measured / 3 * 2)
    }
    let text = try #require(model.source["text_encoder"])
    let config = try TextEncoderConfig(
      json: text.config, location: "", className: text.className)
    #expect(LeastActivations.text(config, tokens: 77, batch: 2) == 2 * 77 * 768 * 12 * 4)
    // A damaged request may ask for any number.
    let wide = ImageSize(width: 1 << 40, height: 1 << 40)
    #expect(LeastActivations.unet(model.unet, latent: wide, batch: .max) > 1 << 46)
    #expect(LeastActivations.encoder(model.vae, image: wide) > 1 << 46)
  }

  /// A matrix of scores and unfolded inputs, as stable-diffusion.cpp has them.
  @Test func scoresAndUnfoldedInputsCount() throws {
    let program = ProgramMemory(
      activationBytes: 4, batchesGuidance: false, scores: .wholeMatrix, convolutions: .unfolded)
    let small = try model("sd-v1-5")
    #expect(try phase(.unet, of: small, in: program, side: 512).activations == 600_087_552)
    #expect(try phase(.unet, of: small, in: program, side: 256).activations == 49_536_000)
    // The input of a resnet with 256 channels, its norm, and 9 float16 numbers for each of them.
    let decoder = try phase(.decoder, of: small, in: program, side: 512).activations
    #expect(abs(decoder - 512 * 512 * 256 * (4 + 4 + 18)) < 100_000)
    let large = try model("sdxl-base-1.0")
    #expect(try phase(.unet, of: large, in: program, side: 1024).activations == 855_482_368)
  }

  /// In W8A8, a layer's inputs are int8 and its sums int32, in a quantized U-Net alone.
  @Test func integerProductsHoldTheirSums() throws {
    var program = ProgramMemory.float16Pipeline
    var model = try model("sd-v1-5")
    #expect(try phase(.unet, of: model, in: program, side: 512).activations == 136_616_960)
    program.quantizedProducts = .integers
    #expect(try phase(.unet, of: model, in: program, side: 512).activations == 136_616_960)
    let unet = try #require(model["unet"])
    model["unet"]?.weights = Reencoded(base: unet.weights) { $0.rank == 2 ? .int8 : .plain(.f16) }
    program.quantizedProducts = .asStored
    let decoder = try phase(.decoder, of: model, in: program, side: 512)
    program.quantizedProducts = .integers
    #expect(try phase(.unet, of: model, in: program, side: 512).activations == 181_181_440)
    #expect(try phase(.decoder, of: model, in: program, side: 512) == decoder)
  }

  /// A program may multiply integers, and widen float8 weights.
  @Test func productsDependOnTheEncoding() throws {
    var program = ProgramMemory.float16Pipeline
    program.quantizedProducts = .integers
    program.float8Products = .widenedByLayer(bytes: 2)
    #expect(program.products(of: .plain(.f16)) == .asStored)
    #expect(program.products(of: .int8) == .integers)
    #expect(program.products(of: .float8) == .widenedByLayer(bytes: 2))
    var model = try model("sd-v1-5")
    let plain = try phase(.unet, of: model, in: program, side: 512)
    let unet = try #require(model["unet"])
    model["unet"]?.weights = Reencoded(base: unet.weights) {
      $0.rank == 2 ? .float8 : .plain(.f16)
    }
    let float8 = try phase(.unet, of: model, in: program, side: 512)
    #expect(float8.activations == plain.activations)
    // GEGLU's projection from 1280 to 2 x 5120 channels.
    #expect(float8.widenedLayer == 2 * 1280 * 10240)
    program.float8Products = nil
    #expect(program.products(of: .float8) == .integers)
    #expect(try phase(.unet, of: model, in: program, side: 512).widenedLayer == 0)
  }

  @Test func allComponentsStayInAPipeline() throws {
    let (unet, vae, text) = (1_719_041_928, 167_307_726, 246_120_960)
    let model = try model("sd-v1-5")
    let size = ImageSize(width: 512, height: 512)
    let estimate = try MemoryEstimate(model, in: .float16Pipeline, size: size)
    #expect(estimate.phases.map(\.name) == [.text, .unet, .decoder])
    #expect(
      estimate.phases.map(\.weights) == [unet + vae + text, unet + vae + text, unet + vae + text])
    #expect(estimate.phases.map(\.activations) == [0, 136_616_960, 402_685_952])
    #expect(estimate.peak?.name == .decoder)
    #expect(estimate.peak?.total == 2_535_156_566)

    var program = ProgramMemory.float16Pipeline
    program.residency = .oneAfterAnother
    let unloading = try MemoryEstimate(model, in: program, size: size)
    #expect(unloading.phases.map(\.weights) == [text, unet, vae])
    #expect(unloading.peak?.name == .unet)
    #expect(unloading.peak?.total == 1_855_658_888)
  }

  /// The autoencoder of SDXL is widened to float32 with its weights.
  @Test func anAutoencoderThatOverflowsIsWidened() throws {
    let weights = 6_937_675_734
    let estimate = try MemoryEstimate(
      try model("sdxl-base-1.0"), in: .float16Pipeline, size: ImageSize(width: 1024, height: 1024))
    #expect(estimate.phases.map(\.weights) == [weights, weights, weights + 167_307_726])
    #expect(estimate.phases.map(\.activations) == [0, 331_194_368, 3_221_487_616])
  }

  @Test func tilesBoundTheDecoder() throws {
    var program = ProgramMemory.float16Pipeline
    let model = try model("sd-v1-5")
    func activations(_ side: Int) throws -> Int {
      try phase(.decoder, of: model, in: program, side: side).activations
    }
    let whole = try [256, 512, 1024].map(activations)
    program.decoderTile = 512
    #expect(try [256, 512, 1024].map(activations) == [whole[0], whole[1], whole[1]])
    #expect(whole[2] > 3 * whole[1])
  }

  /// The encoder has no part in making an image from text.
  @Test func theEncoderMayBeLeftOut() throws {
    var program = ProgramMemory.float16Pipeline
    let model = try model("sd-v1-5")
    let whole = try phase(.decoder, of: model, in: program, side: 64).weights
    program.loadsEncoder = false
    let part = try phase(.decoder, of: model, in: program, side: 64).weights
    #expect(whole - part == 2 * (34_163_592 + 72))
  }

  /// The layer with the most quantized weights is widened for its product, in the phase of its
  /// component.
  @Test func theLargestQuantizedLayerIsWidened() throws {
    var model = try model("sd-v1-5")
    let unet = try #require(model["unet"])
    model["unet"]?.weights = Reencoded(base: unet.weights) { $0.rank == 4 ? .int8 : .plain(.f16) }
    var program = ProgramMemory.float16Pipeline
    #expect(try phase(.unet, of: model, in: program, side: 512).widenedLayer == 0)
    program.quantizedProducts = .widenedByLayer(bytes: 6)
    // A 3x3 convolution from 2560 to 1280 channels.
    let largest = 6 * 2560 * 1280 * 9
    #expect(try phase(.unet, of: model, in: program, side: 512).widenedLayer == largest)
    #expect(try phase(.text, of: model, in: program, side: 512).widenedLayer == 0)
    let phase = try phase(.unet, of: model, in: program, side: 512)
    #expect(phase.total == phase.weights + largest + phase.activations)
  }

  /// Without a component there is no phase of it.
  @Test func aPartHasThePhasesOfItsComponents() throws {
    var model = try MiniModel.source()
    let size = ImageSize(width: 17, height: 9)
    func names() throws -> [MemoryEstimate.Phase.Name] {
      try MemoryEstimate(model, in: .float16Pipeline, size: size).phases.map(\.name)
    }
    #expect(try names() == [.text, .unet, .decoder])
    model["vae"] = nil
    #expect(try names() == [.text, .unet])
    model["text_encoder"] = nil
    model["unet"] = nil
    #expect(try MemoryEstimate(model, in: .float16Pipeline, size: size).peak == nil)
  }

  /// A damaged config may ask for images of any size.
  @Test func sizesDoNotOverflow() throws {
    let model = try MiniModel.source()
    let size = ImageSize(width: 1 << 40, height: 1 << 40)
    let program = ProgramMemory(
      activationBytes: 4, scores: .wholeMatrix, convolutions: .unfolded)
    let estimate = try MemoryEstimate(model, in: program, size: size)
    #expect(estimate.phases.dropFirst().allSatisfy { $0.total > 1 << 47 })
  }

  /// Every family has an estimate that grows with the image.
  @Test(arguments: Family.all.filter { $0.template != nil }.map(\.name))
  func everyFamilyIsEstimated(name: String) throws {
    let model = try model(name)
    let programs = [
      ProgramMemory.float16Pipeline,
      ProgramMemory(activationBytes: 4, scores: .wholeMatrix, convolutions: .unfolded),
    ]
    for program in programs {
      for part in [MemoryEstimate.Phase.Name.unet, .decoder] {
        let sizes = try [64, 512, 1024].map {
          try phase(part, of: model, in: program, side: $0).activations
        }
        #expect(sizes[0] > 0 && sizes[0] < sizes[1] && sizes[1] < sizes[2])
      }
    }
  }
}

/// Tensors with other encodings, for entries alone.
private struct Reencoded: WeightSource {
  let base: any WeightSource
  let encoding: @Sendable (Shape) -> TensorEncoding

  var location: String { base.location }
  var names: [String] { base.names }

  func entry(_ name: String) -> TensorEntry? {
    base.entry(name).map { TensorEntry(shape: $0.shape, encoding: encoding($0.shape)) }
  }

  func tensor(_ name: String) throws -> StoredTensor { throw absent(name) }
}

import Checkpoints
import Execution
import Models
import Tensors
import TestSupport
import Testing

/// The trained miniature model that the repository carries, from its folder to a picture.
@Suite struct MiniatureTests {
  private func model() throws -> Model {
    try Model.bind(DiffusersFolderReader().read(fixture("mini-sd"), options: ReadOptions()))
  }

  @Test func isOfStableDiffusionsMake() throws {
    let model = try model()
    #expect(model.family.line.name == "sd-v1")
    #expect(model.components.map(\.name) == ["text_encoder", "unet", "vae"])
    for component in model.components {
      #expect(component.modules.parameterCount == component.weights.parameterCount)
    }
  }

  @Test func runsFromWordsToPixels() throws {
    let model = try model()
    let config = try #require(model.textEncoders.first)
    let encoder = try TextEncoder(config: config, weights: model.weights(of: "text_encoder"))
    let tokens = [Int](repeating: config.vocabSize - 1, count: config.maxPositionEmbeddings)
    let text = try encoder(inputIDs: [tokens]).lastHiddenState
    let size = try #require(model.unet.sampleSize)
    let latent: Shape = [1, model.unet.inChannels, size.height, size.width]
    let noise = try UNet(model)(
      sample: Tensor(shape: latent, values: (0..<latent.count).map { Float($0 % 7) / 3 - 1 }),
      timesteps: [500], encoderHiddenStates: text)
    #expect(noise.shape == latent)
    let picture = try VAEDecoder(model).decode(noise)
    #expect(
      picture.shape == [1, 3, model.defaultSize.height, model.defaultSize.width])
    #expect(picture.values.allSatisfy { $0.isFinite })
    let (mean, _) = try VAEEncoder(model).encode(picture)
    #expect(mean.shape == latent)
  }
}

import Execution
import ModelSources
import Models
import Tensors
import Testing

@Suite struct AutoencoderTests {
  private func config(_ golden: Golden) throws -> VAEConfig {
    try VAEConfig(json: golden.config, location: golden.location)
  }

  @Test(arguments: ["vae", "vae-plain"])
  func agreesWithDiffusers(name: String) throws {
    let golden = try Golden(name)
    let config = try config(golden)
    let recorder = Recorder()
    let encoder = try VAEEncoder(config: config, weights: golden.weights)
    let (mean, logvar) = try encoder.encode(golden.input("image"), observer: recorder)
    #expect(try mean.shape == golden.tensor("output.mean").shape)
    try golden.expect(mean, "output.mean")
    try golden.expect(logvar, "output.logvar")

    let decoder = try VAEDecoder(config: config, weights: golden.weights)
    let image = try decoder.decode(golden.input("latent"), observer: recorder)
    #expect(try image.shape == golden.tensor("output.image").shape)
    try golden.expect(image, "output.image")
    try golden.expect(recorder)
    recorder.expectAll(of: config.modules)
  }

  @Test(arguments: ["vae", "vae-plain"])
  func listsTheTensorsOfDiffusers(name: String) throws {
    let golden = try Golden(name)
    let tensors = try config(golden).modules.tensors
    #expect(Set(tensors.map(\.name)) == Set(golden.weights.names))
    for tensor in tensors {
      #expect(golden.weights.entry(tensor.name)?.shape == tensor.shape, "\(tensor.name)")
    }
  }

  @Test func logVariancesAreClamped() throws {
    let golden = try Golden("vae-plain")
    let bias = "encoder.conv_out.bias"
    let names = golden.weights.names
    // Three channels of means and three of log variances, far beyond both limits.
    let weights = MemorySource(
      location: "clamped",
      try names.map { name in
        let tensor = try golden.weights.tensor(name)
        return name == bias
          ? (name, StoredTensor(shape: [6], floats: [0, 0, 0, 1000, -1000, 0])) : (name, tensor)
      })
    let encoder = try VAEEncoder(config: config(golden), weights: weights)
    let logvar = try encoder.encode(golden.input("image")).logvar
    let plane = logvar.shape[2] * logvar.shape[3]
    #expect(logvar.values[..<plane].allSatisfy { $0 == 20 })
    #expect(logvar.values[plane..<2 * plane].allSatisfy { $0 == -30 })
  }

  @Test func refusesALatentWithWrongChannels() throws {
    let golden = try Golden("vae")
    let decoder = try VAEDecoder(config: config(golden), weights: golden.weights)
    let error = try #require(throws: InputError.self) {
      _ = try decoder.decode(Tensor(zeros: [1, 3, 4, 4]))
    }
    #expect(
      error.description
        == "input 'latent' is [1, 3, 4, 4], expected [batch, channels 4, height, width]")
  }

  @Test func refusesAnImageWithWrongChannelsOrTooSmall() throws {
    let golden = try Golden("vae")
    let encoder = try VAEEncoder(config: config(golden), weights: golden.weights)
    let channels = try #require(throws: InputError.self) {
      _ = try encoder.encode(Tensor(zeros: [1, 4, 8, 8]))
    }
    #expect(
      channels.description
        == "input 'image' is [1, 4, 8, 8], expected [batch, channels 3, height, width]")
    let small = try #require(throws: InputError.self) {
      _ = try encoder.encode(Tensor(zeros: [1, 3, 8, 3]))
    }
    #expect(small.description == "input 'image' is [1, 3, 8, 3], expected sides of at least 4")
  }
}

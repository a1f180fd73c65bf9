import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// Every setting of `forward` changes the result.
@Suite struct ForwardTests {
  /// Numbers from -1 to 1.
  private func numbers(_ shape: Shape, phase: Float = 0) -> Tensor {
    Tensor(shape: shape, values: (0..<shape.count).map { sin(Float($0) + phase) })
  }

  private func unetInputs(sample: Float = 0, timestep: Float = 500) -> [(String, Tensor)] {
    [
      ("sample", numbers([1, 4, 8, 8], phase: sample)),
      ("timestep", Tensor(shape: [1], values: [timestep])),
      ("encoder_hidden_states", numbers([1, 7, 32])),
    ]
  }

  private let tokens = [
    ("input_ids", Tensor(shape: [1, 5], values: [600, 7, 8, 9, 601]))
  ]

  /// The tensors that the job writes.
  private func results(
    _ component: ForwardJob.Component, _ inputs: [(String, Tensor)], model: String = tiny,
    reading: InputOptions = InputOptions(), compute: Compute = .f32
  ) async throws -> [String: Tensor] {
    try await withTemporaryFolder { folder in
      let (input, output) = (folder + "/in.safetensors", folder + "/out.safetensors")
      try writeSafetensors(
        MemorySource(location: input, inputs.map { ($0.0, StoredTensor($0.1)) }), to: input)
      let outcome = try await ForwardJob(
        model: model, reading: reading, compute: compute, component: component, inputs: input,
        output: output, replacing: false
      ).run()
      let file = try SafetensorsFile(path: output)
      #expect(
        Set(outcome.json["tensors"]?.array?.compactMap { $0["name"]?.string } ?? [])
          == Set(file.names))
      return try Dictionary(
        uniqueKeysWithValues: file.names.map { ($0, try file.tensor($0).widened()) })
    }
  }

  @Test func everyComponentComputes() async throws {
    let unet = try await results(.unet, unetInputs())
    #expect(unet.mapValues(\.shape) == ["sample": [1, 4, 8, 8]])
    let image = try await results(.vaeDecoder, [("latent", numbers([1, 4, 2, 2]))])
    #expect(image.mapValues(\.shape) == ["image": [1, 3, 16, 16]])
    let latent = try await results(.vaeEncoder, [("image", numbers([1, 3, 16, 16]))])
    #expect(latent.mapValues(\.shape) == ["mean": [1, 4, 2, 2], "logvar": [1, 4, 2, 2]])
    let text = try await results(.textEncoder, tokens)
    #expect(
      text.mapValues(\.shape) == [
        "last_hidden_state": [1, 5, 32], "pooler_output": [1, 32],
        "hidden_states.0": [1, 5, 32], "hidden_states.1": [1, 5, 32],
        "hidden_states.2": [1, 5, 32],
      ])
    let second = try await results(.textEncoder2, tokens, model: miniatureXL)
    #expect(second["text_embeds"]?.shape == [1, 32] && second["hidden_states.5"] != nil)
  }

  @Test func everyInputChangesThePrediction() async throws {
    let standard = try await results(.unet, unetInputs())
    #expect(try await results(.unet, unetInputs()) == standard)
    #expect(try await results(.unet, unetInputs(sample: 1)) != standard)
    #expect(try await results(.unet, unetInputs(timestep: 1)) != standard)
    let otherText =
      unetInputs().dropLast() + [
        ("encoder_hidden_states", numbers([1, 7, 32], phase: 1))
      ]
    #expect(try await results(.unet, Array(otherText)) != standard)
  }

  @Test func theArithmeticChangesThePrediction() async throws {
    let int8 = try #require(Compute(name: "int8"))
    #expect(
      try await results(.unet, unetInputs(), compute: int8) != results(.unet, unetInputs()))
  }

  @Test func componentsOfOtherModelsAreUsed() async throws {
    let latent = [("latent", numbers([1, 4, 2, 2]))]
    let exchanged = InputOptions(
      composition: Composition(parts: [(component: ComponentName.vae, path: miniature)]))
    let found = try await results(.vaeDecoder, latent, reading: exchanged)
    #expect(try await results(.vaeDecoder, latent) != found)
    #expect(try await results(.vaeDecoder, latent, model: miniature) == found)
  }

  @Test func nonfiniteWeightsAreReadOnRequest() async throws {
    try await withTemporaryFolder { folder in
      let copy = folder + "/copy"
      try FileManager.default.copyItem(atPath: tiny, toPath: copy)
      let path = URL(fileURLWithPath: copy + "/vae/diffusion_pytorch_model.safetensors")
      var weights = try Data(contentsOf: path)
      // float16's NaN as the last number of the file, which belongs to the encoder.
      weights.replaceSubrange(weights.count - 2..<weights.count, with: [0x00, 0x7e])
      try weights.write(to: path)
      let image = [("image", numbers([1, 3, 16, 16]))]
      await #expect(throws: NonfiniteError.self) {
        try await results(.vaeEncoder, image, model: copy)
      }
      let allowed = InputOptions(allowsNonfinite: true)
      let found = try await results(.vaeEncoder, image, model: copy, reading: allowed)
      #expect(Set(found.keys) == ["mean", "logvar"])
    }
  }

  @Test(arguments: [
    InputOptions(variant: "fp16"), InputOptions(ema: true), InputOptions(prediction: "luck"),
  ])
  func optionsThatDoNotApplyAreRefused(reading: InputOptions) async {
    await #expect(throws: (any Error).self) {
      try await results(.unet, unetInputs(), reading: reading)
    }
  }

  @Test func anOutputIsReplacedOnRequest() async throws {
    try await withTemporaryFolder { folder in
      let (input, output) = (folder + "/in.safetensors", folder + "/out.safetensors")
      try writeSafetensors(
        MemorySource(location: input, tokens.map { ($0.0, StoredTensor($0.1)) }), to: input)
      try Data([1, 2, 3]).write(to: URL(fileURLWithPath: output))
      func run(replacing: Bool) async throws {
        _ = try await ForwardJob(
          model: tiny, reading: InputOptions(), compute: .f32, component: .textEncoder,
          inputs: input, output: output, replacing: replacing
        ).run()
      }
      await #expect(throws: FileError.self) { try await run(replacing: false) }
      #expect(try Data(contentsOf: URL(fileURLWithPath: output)) == Data([1, 2, 3]))
      try await run(replacing: true)
      #expect(try SafetensorsFile(path: output).names.contains("pooler_output"))
    }
  }

  @Test func impossibleInputsAreRefused() async throws {
    func refusal(
      _ component: ForwardJob.Component, _ inputs: [(String, Tensor)]
    ) async throws -> String {
      do {
        _ = try await results(component, inputs)
        return ""
      } catch let error as JobError {
        return error.description
      }
    }
    let one = Tensor(shape: [1, 1], values: [1])
    let cases: [(ForwardJob.Component, [(String, Tensor)], String)] = [
      (
        .textEncoder2, tokens,
        "\(tiny): the model has no component 'text_encoder_2'; found text_encoder, unet and vae"
      ),
      (
        .unet, unetInputs() + [("text_embeds", one)],
        "input 'text_embeds' is given alone, expected text_embeds and time_ids together"
      ),
      (
        .unet, unetInputs() + [("time_ids", one)],
        "input 'time_ids' is given alone, expected text_embeds and time_ids together"
      ),
      (.vaeDecoder, [("noise", one)], "vae-decoder expects latent; found noise"),
      (
        .vaeDecoder, [("latent", numbers([1, 3, 2, 2]))],
        "input 'latent' is [1, 3, 2, 2], expected [batch, channels 4, height, width]"
      ),
      (
        .textEncoder, [("input_ids", Tensor(shape: [1, 2], values: [1, 0.5]))],
        "input 'input_ids' is 0.5, expected whole numbers"
      ),
    ]
    for (component, inputs, ending) in cases {
      let found = try await refusal(component, inputs)
      #expect(found.hasSuffix(ending), "\(found)")
    }
  }
}

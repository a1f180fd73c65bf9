import Execution
import Kernels
import ModelSources
import Models
import Support
import Tensors
import TestSupport
import Testing

@Suite struct UNetTests {
  private static let goldens = ["unet-sd1", "unet-stripped", "unet-xl"]

  private struct Inputs {
    let sample: Tensor
    let timesteps: [Float]
    let text: Tensor
    let condition: Tensor?
    let added: UNet.AddedConditioning?

    init(_ golden: Golden) throws {
      sample = try golden.input("sample")
      timesteps = try golden.input("timestep").values
      text = try golden.input("encoder_hidden_states")
      condition = golden.has("input.timestep_cond") ? try golden.input("timestep_cond") : nil
      added =
        golden.has("input.text_embeds")
        ? UNet.AddedConditioning(
          textEmbeds: try golden.input("text_embeds"), timeIDs: try golden.input("time_ids")) : nil
    }

    func run(
      _ unet: UNet, sample: Tensor? = nil, timesteps: [Float]? = nil, text: Tensor? = nil,
      from state: UNetState? = nil, recording: ((UNetState) -> Void)? = nil,
      observer: (any ActivationObserver)? = nil
    ) throws -> Tensor {
      try unet(
        sample: sample ?? self.sample, timesteps: timesteps ?? self.timesteps,
        encoderHiddenStates: text ?? self.text, timestepCondition: condition, added: added,
        from: state, recording: recording, observer: observer)
    }
  }

  private func unet(_ golden: Golden) throws -> UNet {
    try UNet(
      config: UNetConfig(json: golden.config, location: golden.location), weights: golden.weights)
  }

  @Test(arguments: goldens)
  func agreesWithDiffusers(name: String) throws {
    let golden = try Golden(name)
    let unet = try unet(golden)
    let recorder = Recorder()
    let output = try Inputs(golden).run(unet, observer: recorder)
    #expect(try output.shape == golden.tensor("output.sample").shape)
    try golden.expect(output, "output.sample")
    try golden.expect(recorder)
    recorder.expectAll(of: unet.spec.modules)
  }

  /// The tensors that binding requires are those that diffusers writes.
  @Test(arguments: goldens)
  func listsTheTensorsOfDiffusers(name: String) throws {
    let golden = try Golden(name)
    let config = try UNetConfig(json: golden.config, location: "")
    #expect(Set(config.modules.tensors.map(\.name)) == Set(golden.weights.names))
    for tensor in config.modules.tensors {
      #expect(golden.weights.entry(tensor.name)?.shape == tensor.shape, "\(tensor.name)")
    }
  }

  @Test func threadsDoNotMatter() throws {
    let golden = try Golden("unet-sd1")
    let unet = try unet(golden)
    let inputs = try Inputs(golden)
    let outputs = try onEveryThreadCount { try inputs.run(unet) }
    #expect(outputs.allSatisfy { $0 == outputs[0] })
  }

  @Test func oneTimestepServesAllImages() throws {
    let golden = try Golden("unet-sd1")
    let unet = try unet(golden)
    let inputs = try Inputs(golden)
    let one = try inputs.run(unet, timesteps: [41])
    #expect(try inputs.run(unet, timesteps: [41, 41]) == one)
    #expect(try inputs.run(unet, timesteps: [41, 42]) != one)
  }

  /// A U-Net that continues from a recorded state has the same output, and runs the layers after it
  /// only.
  @Test(arguments: goldens)
  func continuesFromEveryState(name: String) throws {
    let golden = try Golden(name)
    let unet = try unet(golden)
    let inputs = try Inputs(golden)
    var states: [UNetState] = []
    let output = try inputs.run(unet, recording: { states.append($0) })
    let stages = UNetStage.stages(of: unet.spec)
    #expect(states.map(\.stage) == Array(0...stages.count))
    let matrices = unet.spec.modules.filter(\.kind.isMatrix).map(\.name)
    for state in states {
      #expect(state.byteCount > 0)
      let recorder = Recorder()
      let again = try inputs.run(unet, from: state, observer: recorder)
      #expect(again == output, "\(state.stage)")
      // The layers of the time embedding and of added conditioning run in every call.
      let expected = matrices.filter { module in
        module != "conv_in"
          && UNetStage.index(of: module, in: unet.spec).map { $0 >= state.stage } ?? true
      }
      #expect(Set(recorder.modules.keys) == Set(expected), "\(state.stage)")
    }
  }

  /// A changed layer changes the outputs of calls that continue before it, and no others.
  @Test func aStateServesAnotherUNet() throws {
    let golden = try Golden("unet-sd1")
    let original = try unet(golden)
    let inputs = try Inputs(golden)
    let changed = "mid_block.resnets.1.conv2.weight"
    let other = try UNet(
      config: UNetConfig(json: golden.config, location: golden.location),
      weights: HalvedWeights(base: golden.weights, halved: changed))
    var states: [UNetState] = []
    let before = try inputs.run(original, recording: { states.append($0) })
    let after = try inputs.run(other)
    #expect(after != before)
    let stage = try #require(UNetStage.index(of: changed, in: original.spec))
    for state in states {
      let found = try inputs.run(other, from: state)
      #expect(found == (state.stage <= stage ? after : before), "\(state.stage)")
    }
  }

  /// Every encoding gives the results of its widened weights.
  @Test(arguments: [TensorEncoding.plain(.f16), .plain(.bf16), .int8])
  func storedWeightsAreWidened(encoding: TensorEncoding) throws {
    let golden = try Golden("unet-sd1")
    let config = try UNetConfig(json: golden.config, location: "")
    let inputs = try Inputs(golden)
    let stored = try EncodedWeights(golden.weights, encoding: encoding, widened: false)
    let widened = try EncodedWeights(golden.weights, encoding: encoding, widened: true)
    let output = try inputs.run(UNet(config: config, weights: stored))
    #expect(try inputs.run(UNet(config: config, weights: widened)) == output)
    #expect(try inputs.run(UNet(config: config, weights: golden.weights)) != output)
  }

  @Test func stopsOnCancellation() async throws {
    let golden = try Golden("unet-sd1")
    let unet = try unet(golden)
    let inputs = try Inputs(golden)
    let task = Task { () throws -> Tensor in
      while !Task.isCancelled { await Task.yield() }
      return try unet(
        sample: inputs.sample, timesteps: [1], encoderHiddenStates: inputs.text)
    }
    task.cancel()
    await #expect(throws: CancellationError.self) { _ = try await task.value }
  }

  @Test func wrongShapesNameTheTensor() throws {
    let golden = try Golden("unet-sd1")
    var json = golden.config
    json["in_channels"] = 5
    let config = try UNetConfig(json: json, location: "")
    let error = try #require(throws: WeightError.self) {
      _ = try UNet(config: config, weights: golden.weights)
    }
    #expect(error.tensor == "conv_in.weight")
    #expect(error.found == "found [16, 4, 3, 3], expected [16, 5, 3, 3]")
  }

  // MARK: - Refusals of inputs

  private func refusal(_ name: String, _ change: (UNet, Inputs) throws -> Tensor) throws -> String {
    let golden = try Golden(name)
    let unet = try unet(golden)
    let inputs = try Inputs(golden)
    return try #require(throws: InputError.self) { _ = try change(unet, inputs) }.description
  }

  @Test func refusesASampleWithWrongChannels() throws {
    let message = try refusal("unet-sd1") {
      try $1.run($0, sample: Tensor(zeros: [2, 9, 8, 8]))
    }
    #expect(
      message == "input 'sample' is [2, 9, 8, 8], expected [batch, channels 4, height, width]")
  }

  @Test func refusesASampleTooSmallToDownsample() throws {
    let message = try refusal("unet-stripped") {
      try $1.run($0, sample: Tensor(zeros: [2, 5, 3, 8]))
    }
    #expect(message == "input 'sample' is [2, 5, 3, 8], expected sides of at least 4")
  }

  @Test func refusesAWrongNumberOfTimesteps() throws {
    let message = try refusal("unet-sd1") { try $1.run($0, timesteps: [1, 2, 3]) }
    #expect(message == "input 'timestep' is 3 numbers, expected 1, or 2 (one for each sample)")
  }

  @Test func refusesTextOfWrongWidth() throws {
    let message = try refusal("unet-sd1") { try $1.run($0, text: Tensor(zeros: [2, 7, 21])) }
    #expect(
      message
        == "input 'encoder_hidden_states' is [2, 7, 21], expected [batch 2, words, features 20]")
  }

  @Test func refusesATimestepConditionWithoutItsLayer() throws {
    let message = try refusal("unet-sd1") {
      try $0(
        sample: $1.sample, timesteps: $1.timesteps, encoderHiddenStates: $1.text,
        timestepCondition: Tensor(zeros: [2, 6]))
    }
    #expect(message.contains("expected nothing, because the config has no 'time_cond_proj_dim'"))
  }

  @Test func refusesAddedConditioningWithoutItsLayers() throws {
    let message = try refusal("unet-sd1") {
      try $0(
        sample: $1.sample, timesteps: $1.timesteps, encoderHiddenStates: $1.text,
        added: .init(textEmbeds: Tensor(zeros: [2, 4]), timeIDs: Tensor(zeros: [2, 6])))
    }
    #expect(message.contains("expected nothing, because the config has no 'addition_embed_type'"))
  }

  @Test func refusesMissingAddedConditioning() throws {
    let message = try refusal("unet-xl") {
      try $0(sample: $1.sample, timesteps: $1.timesteps, encoderHiddenStates: $1.text)
    }
    #expect(message.hasPrefix("input 'text_embeds' is absent, expected pooled text"))
  }

  @Test(arguments: [
    (12, 5, "input 'time_ids' is [2, 5], expected [batch 2, numbers 6]"),
    (13, 5, "input 'text_embeds' is [2, 13], expected a width that fills 60 with 'time_ids'"),
  ])
  func refusesAddedConditioningOfWrongWidths(pooled: Int, ids: Int, expected: String) throws {
    let message = try refusal("unet-xl") {
      try $0(
        sample: $1.sample, timesteps: $1.timesteps, encoderHiddenStates: $1.text,
        added: .init(
          textEmbeds: Tensor(zeros: [2, pooled]), timeIDs: Tensor(zeros: [2, ids])))
    }
    #expect(message == expected)
  }
}

/// Weights of which one tensor is halved.
private struct HalvedWeights: WeightSource {
  let base: GoldenWeights
  let halved: String

  var location: String { base.location }
  var names: [String] { base.names }
  func entry(_ name: String) -> TensorEntry? { base.entry(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    guard name == halved else { return tensor }
    return StoredTensor(shape: tensor.shape, floats: tensor.floats().map { $0 / 2 })
  }
}

/// Weights in another encoding, or the result of widening them.
private struct EncodedWeights: WeightSource {
  private let memory: MemorySource

  init(_ base: any WeightSource, encoding: TensorEncoding, widened: Bool) throws {
    memory = MemorySource(
      location: "encoded",
      try base.names.map { name in
        let tensor = try base.tensor(name)
        let encoded = Self.encode(tensor, encoding)
        return (name, widened ? StoredTensor(encoded.widened()) : encoded)
      })
  }

  private static func encode(_ tensor: StoredTensor, _ encoding: TensorEncoding) -> StoredTensor {
    let floats = tensor.floats()
    switch encoding {
    case .plain(let kind): return StoredTensor(shape: tensor.shape, floats: floats, as: kind)
    case .scaled: return StoredTensor(scalingToFloat8: tensor)
    case .codes:
      guard tensor.shape.rank > 1 else { return tensor }
      let length = tensor.shape.rowLength
      var codes: [Int8] = []
      var scales: [Float] = []
      for row in 0..<tensor.shape.rows {
        let values = floats[row * length..<(row + 1) * length]
        let scale = max(values.map(abs).max() ?? 0, .leastNormalMagnitude) / 127
        scales.append(scale)
        codes += values.map { Int8(($0 / scale).rounded()) }
      }
      return StoredTensor(
        shape: tensor.shape, encoding: .int8, parts: [ByteSlice(codes), ByteSlice(scales)])
    }
  }

  var location: String { memory.location }
  var names: [String] { memory.names }
  func entry(_ name: String) -> TensorEntry? { memory.entry(name) }
  func tensor(_ name: String) throws -> StoredTensor { try memory.tensor(name) }
}

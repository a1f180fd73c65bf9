import Execution
import Models
import Tensors
import Testing

@Suite struct TextEncoderTests {
  private func encoder(_ golden: Golden) throws -> TextEncoder {
    try TextEncoder(
      config: TextEncoderConfig(
        json: golden.config, location: golden.location, className: golden.className),
      weights: golden.weights)
  }

  private func inputIDs(_ golden: Golden) throws -> [[Int]] {
    let tensor = try golden.input("input_ids")
    let length = tensor.shape[1]
    return (0..<tensor.shape[0]).map { row in
      tensor.values[row * length..<(row + 1) * length].map { Int($0) }
    }
  }

  @Test(arguments: ["text-clip", "text-projected"])
  func agreesWithTransformers(name: String) throws {
    let golden = try Golden(name)
    let encoder = try encoder(golden)
    let recorder = Recorder()
    let output = try encoder(inputIDs: inputIDs(golden), observer: recorder)
    try golden.expect(output.lastHiddenState, "output.last_hidden_state")
    try golden.expect(output.poolerOutput, "output.pooler_output")
    #expect(output.hiddenStates.count == encoder.spec.layers.count + 1)
    for (index, state) in output.hiddenStates.enumerated() {
      try golden.expect(state, "output.hidden_states.\(index)")
    }
    #expect((output.textEmbeds != nil) == golden.has("output.text_embeds"))
    if let embeds = output.textEmbeds { try golden.expect(embeds, "output.text_embeds") }
    recorder.expectAll(of: encoder.spec.modules)
    #expect(recorder.blocks["text_model.final_layer_norm"] == output.lastHiddenState)
  }

  @Test(arguments: ["text-clip", "text-projected"])
  func listsTheTensorsOfTransformers(name: String) throws {
    let golden = try Golden(name)
    let modules = try encoder(golden).spec.modules
    #expect(Set(modules.tensors.map(\.name)) == Set(golden.weights.names))
    for tensor in modules.tensors {
      #expect(golden.weights.entry(tensor.name)?.shape == tensor.shape, "\(tensor.name)")
    }
  }

  /// The mask is causal: later tokens do not change the state of earlier ones.
  @Test func laterTokensDoNotMatter() throws {
    let golden = try Golden("text-clip")
    let encoder = try encoder(golden)
    let one = try encoder(inputIDs: [[62, 5, 17, 9, 63]])
    let other = try encoder(inputIDs: [[62, 5, 17, 40, 63]])
    let width = 3 * encoder.spec.finalNorm.module.weight.shape[0]
    #expect(one.lastHiddenState.values[..<width] == other.lastHiddenState.values[..<width])
    #expect(one.lastHiddenState != other.lastHiddenState)
  }

  @Test(
    arguments: [
      ([], "input 'input_ids' is sequences of [] tokens, expected sequences of the same length"),
      (
        [[62, 63], [62]],
        "input 'input_ids' is sequences of [2, 1] tokens, expected sequences of the same length"
      ),
      (
        [[Int](repeating: 1, count: 13)],
        "input 'input_ids' is sequences of 13 tokens, expected at most 12"
      ),
      ([[62, 64]], "input 'input_ids' is token 64, expected tokens from 0 to 63"),
      ([[62, -1]], "input 'input_ids' is token -1, expected tokens from 0 to 63"),
    ] as [([[Int]], String)])
  func refuses(tokens: [[Int]], message: String) throws {
    let encoder = try encoder(Golden("text-clip"))
    let error = try #require(throws: InputError.self) { _ = try encoder(inputIDs: tokens) }
    #expect(error.description == message)
  }
}

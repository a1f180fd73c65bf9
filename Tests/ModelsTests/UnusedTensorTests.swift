import ModelSources
import Models
import Support
import Tensors
import Testing

/// Tensors that are not in a component's module tree: those that it does not use are removed and
/// listed, those that change what it computes are faults.
@Suite struct UnusedTensorTests {
  private static let layer = "down_blocks.0.resnets.0.conv1"
  private static let query = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"

  private func model(
    _ component: String, adding names: [String], removing removed: [String] = []
  ) throws -> ModelSource {
    var source = try MiniModel.source()
    let base = try #require(source[component]).weights
    source[component]?.weights = AlteredWeights(
      base: base, renamed: Dictionary(uniqueKeysWithValues: removed.map { ($0, nil) }),
      replaced: Dictionary(
        uniqueKeysWithValues: names.map { ($0, StoredTensor(shape: [1], floats: [0])) }))
    return source
  }

  private func faults(_ source: ModelSource) -> [ComponentFaults] {
    do {
      _ = try Model.bind(source)
      return []
    } catch {
      guard case .tensors(_, let faults) = error else {
        Issue.record("\(error)")
        return []
      }
      return faults
    }
  }

  @Test(arguments: [
    ("text_encoder", "text_projection.weight"), ("text_encoder", "logit_scale"),
    ("text_encoder", "vision_model.encoder.layers.0.self_attn.q_proj.weight"),
    ("unet", "foo.weight"), ("unet", "module.conv_in.weight"),
    ("unet", "down_blocks.0.attentions.0.transformer_blocks.0.fuser.alpha_attn"),
    ("vae", "loss.discriminator.main.0.weight"), ("vae", "x"),
  ])
  func unusedTensorsAreRemovedAndListed(component: String, name: String) throws {
    let source = try model(component, adding: [name])
    #expect(faults(source).isEmpty)
    let read = source.withoutUnusedTensors()
    #expect(
      read.changes == [
        ModelChange(
          .leftOut, component: component, "1 tensor that it does not use", names: [name])
      ])
    let weights = try #require(read[component]).weights
    #expect(!weights.names.contains(name) && weights.entry(name) == nil)
    #expect(throws: WeightError.self) { _ = try weights.tensor(name) }
    #expect(weights.names == (try MiniModel.source())[component]?.weights.names)
    _ = try Model.bind(read)
  }

  @Test func modelsWithoutSuchTensorsStay() throws {
    let source = try MiniModel.source().withoutUnusedTensors()
    #expect(source.changes.isEmpty)
    _ = try Model.bind(source)
  }

  /// Scales, codebooks and adapters beside a weight change what its layer computes.
  @Test(arguments: [
    (layer + ".scale_weight", layer), (layer + ".weight_scale", layer),
    (layer + ".weight_format", layer), (layer + ".absmax", layer),
    (layer + ".weight.absmax", layer), (layer + ".weight.quant_state.bitsandbytes__nf4", layer),
    (layer + ".lora_A.weight", layer), (layer + ".input_scale", layer), (query + ".bias", query),
    (
      "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
      "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_q"
    ),
  ])
  func tensorsOfALayerAreFaults(name: String, layer: String) throws {
    let source = try model("unet", adding: [name])
    let found = faults(source)
    #expect(found.count == 1)
    #expect(found.first?.unknownForms.map(\.name) == [name])
    #expect(found.first?.unknownForms.map(\.layer) == [layer])
    let error = #expect(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(
      error?.description == """
        mini: tensors do not fit the configs: unet 1 in an unknown storage form
          unet: unknown storage form of layer '\(layer)': found '\(name)' [1] beside its weight
        """)
    // Nothing is removed, so that the fault remains.
    let read = source.withoutUnusedTensors()
    #expect(read.changes.isEmpty && faults(read) == found)
    #expect(throws: BindingError.self) { try source["unet"]?.check(in: "mini") }
  }

  /// Layers that other models of the kind have show that the config is another model's.
  @Test(arguments: [
    ("unet", "down_blocks.0.resnets.1.conv1.weight"),
    ("unet", "time_embedding.cond_proj.weight"), ("unet", "add_embedding.linear_1.weight"),
    ("unet", "down_blocks.1.attentions.0.proj_in.weight"),
    ("vae", "decoder.up_blocks.7.resnets.0.conv1.weight"),
    ("text_encoder", "text_model.encoder.layers.9.mlp.fc1.weight"),
  ])
  func layersThatTheConfigLacksAreFaults(component: String, name: String) throws {
    let found = faults(try model(component, adding: [name]))
    #expect(found.map(\.component) == [component])
    #expect(found.first?.unexpected.map(\.name) == [name])
  }

  /// A tensor under another name is listed beside the missing one.
  @Test func othersAreListedBesideMissingTensors() throws {
    let source = try model("unet", adding: ["conv_inn.weight"], removing: ["conv_in.weight"])
    let found = faults(source)
    #expect(found.first?.unexpected.map(\.name) == ["conv_inn.weight"])
    #expect(source.withoutUnusedTensors().changes.isEmpty)
  }

  /// Other components of the model are still cleaned.
  @Test func aFaultOfOneComponentLeavesOthers() throws {
    var source = try model("unet", adding: [Self.layer + ".scale_weight"])
    source["vae"] = try model("vae", adding: ["x"])["vae"]
    let read = source.withoutUnusedTensors()
    #expect(read.changes.map(\.component) == ["vae"])
  }
}

import ModelSources
import Models
import Support
import Tensors
import Testing

@Suite struct BindingTests {
  @Test func bindsAModelOfAnyWidth() throws {
    let model = try Model.bind(MiniModel.source())
    #expect(model.family.name == "sd-v1-custom")
    #expect(model.components.map(\.name) == ["text_encoder", "unet", "vae"])
    #expect(model.defaultSize == ImageSize(width: 16, height: 16))
    let unet = try #require(model["unet"])
    #expect(unet.modules.parameterCount == unet.weights.parameterCount)
  }

  @Test func listsEveryFaultOfEveryComponentAtOnce() throws {
    var source = try MiniModel.source()
    let unet = try #require(source["unet"])
    source["unet"]?.weights = AlteredWeights(
      base: unet.weights,
      renamed: [
        "conv_in.weight": "conv_inn.weight", "conv_out.bias": nil,
      ],
      replaced: [
        "down_blocks.0.resnets.0.conv1.bias": StoredTensor(
          shape: [4], floats: [0, 0, 0, 0]),
        "conv_norm_out.bias": StoredTensor(
          shape: [16], encoding: .plain(.i64),
          parts: [ByteSlice([UInt8](repeating: 0, count: 128))]),
      ])
    let vae = try #require(source["vae"])
    source["vae"]?.weights = AlteredWeights(
      base: vae.weights, renamed: ["decoder.conv_in.bias": nil])

    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    guard case .tensors("mini", let faults) = error else {
      Issue.record("\(error)")
      return
    }
    #expect(faults.map(\.component) == ["unet", "vae"])
    #expect(faults[0].missing.map(\.name) == ["conv_in.weight", "conv_out.bias"])
    #expect(faults[0].unexpected.map(\.name) == ["conv_inn.weight"])
    #expect(faults[0].misshapen.map(\.found) == [[4]])
    #expect(faults[0].unusable.map(\.encoding) == ["i64"])
    #expect(faults[1].missing.map(\.name) == ["decoder.conv_in.bias"])
    #expect(
      error.description == """
        mini: tensors do not fit the configs: unet 2 missing, 1 unexpected, 1 misshapen, \
        1 unusable; vae 1 missing
          unet: missing 'conv_in.weight' [16, 4, 3, 3] (did you mean 'conv_inn.weight'?)
          unet: missing 'conv_out.bias' [4]
          unet: unexpected 'conv_inn.weight' [16, 4, 3, 3]
          unet: misshapen 'down_blocks.0.resnets.0.conv1.bias': found [4], expected [16]
          unet: unusable 'conv_norm_out.bias': i64 numbers cannot be weights
          vae: missing 'decoder.conv_in.bias' [16]
        """)
  }

  @Test func aMessageStaysShortWhenEverythingIsMissing() throws {
    var source = try MiniModel.source()
    source["unet"]?.weights = MemorySource(location: "mini", [])
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    let lines = error.description.split(separator: "\n")
    #expect(lines.count == 8)
    #expect(lines.last?.hasSuffix("more") == true)
  }

  @Test(arguments: ["unet", "vae", "text_encoder"])
  func namesAMissingComponent(name: String) throws {
    var source = try MiniModel.source()
    source[name] = nil
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(error.description.hasPrefix("mini: component '\(name)' is missing; found "))
  }

  @Test func namesInAFileCannotSpeakToTheTerminal() throws {
    var source = try MiniModel.source()
    let unet = try #require(source["unet"])
    let name = "\u{1b}[31m" + String(repeating: "x", count: 1000)
    source["unet"]?.weights = AlteredWeights(
      base: unet.weights, replaced: [name: StoredTensor(shape: [1], floats: [0])])
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(error.description.contains("unexpected '\\u{1b}[31mxxx"))
    #expect(!error.description.contains("\u{1b}"))
    #expect(error.description.utf8.count < 400)
  }

  @Test func aConfigsErrorNamesItsFile() throws {
    var source = try MiniModel.source()
    source["unet"]?.config["act_fn"] = "mish"
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    #expect(
      error.description
        == "mini/unet/config.json: 'act_fn' is \"mish\", expected \"silu\" or \"swish\"")
  }

  /// An editing model takes the latents of a picture beside the noise, which no family here does.
  @Test func anUnknownMakeIsDescribed() throws {
    let family = try #require(Family.named("sd-v1-4"))
    var source = try #require(try family.synthesize(seed: 0, kind: .f16))
    source["unet"]?.config["in_channels"] = 8
    let error = try #require(throws: BindingError.self) { _ = try Model.bind(source) }
    let facts =
      "channels in and 4 out, attention to text of width 768, latents of 4 channels, and text "
      + "encoders of width 768"
    #expect(
      error.description
        == "sd-v1-4 (random): no known model family has a U-Net of 8 \(facts); the nearest family is "
        + "sd-v1-4, which has a U-Net of 4 \(facts)")
  }

  @Test func integerCodesAreWeights() throws {
    var source = try MiniModel.source()
    let unet = try #require(source["unet"])
    source["unet"]?.weights = AlteredWeights(
      base: unet.weights,
      replaced: [
        "conv_out.weight": StoredTensor(
          shape: [4, 16, 3, 3], encoding: .int8,
          parts: [
            ByteSlice([Int8](repeating: 1, count: 4 * 144)),
            ByteSlice([Float](repeating: 1, count: 4)),
          ])
      ])
    _ = try Model.bind(source)
  }
}

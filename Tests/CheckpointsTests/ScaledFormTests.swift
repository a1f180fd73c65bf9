import Checkpoints
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// Weights beside scales in files of named tensors, and forms that are named and not read.
struct ScaledFormTests {
  /// The contents of a file with these tensors, as every reader gets them.
  private func archive(
    _ tensors: [(String, StoredTensor)], metadata: [String: String] = [:],
    _ body: (Archive) throws -> Void = { _ in }
  ) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/f.safetensors"
      try writeSafetensors(
        MemorySource(location: "test", tensors), metadata: metadata, to: path)
      try body(try Archives.open(path))
    }
  }

  private func codes(_ kind: ElementKind, _ bytes: [UInt8], _ shape: Shape) -> StoredTensor {
    StoredTensor(shape: shape, encoding: .plain(kind), parts: [ByteSlice(bytes)])
  }

  private func text(_ text: String) -> StoredTensor {
    codes(.u8, Array(text.utf8), [text.utf8.count])
  }

  private func one(_ value: Float) -> StoredTensor { StoredTensor(shape: [], floats: [value]) }

  // 1, 2, -0.5 and 0 in float8_e4m3fn and in float8_e5m2.
  private static let narrow: [UInt8] = [0x38, 0x40, 0xB0, 0]
  private static let wide: [UInt8] = [0x3C, 0x40, 0xB8, 0]

  private static let weights:
    [(ElementKind, [UInt8], scales: Shape, [Float], TensorEncoding, [Float])] = [
      (.f8e4m3, narrow, [], [0.25], .float8, [0.25, 0.5, -0.125, 0]),
      (.f8e4m3, narrow, [1], [0.25], .float8, [0.25, 0.5, -0.125, 0]),
      (.f8e4m3, narrow, [2, 1], [0.25, 2], .plain(.f16), [0.25, 0.5, -1, 0]),
      (.f8e5m2, wide, [], [0.25], .plain(.f16), [0.25, 0.5, -0.125, 0]),
      (.f8e5m2, wide, [2, 1], [0.25, 2], .plain(.f16), [0.25, 0.5, -1, 0]),
      (.i8, [1, 0xFE, 3, 4], [], [0.5], .int8, [0.5, -1, 1.5, 2]),
      (.i8, [1, 0xFE, 3, 4], [2, 1], [0.5, 2], .int8, [0.5, -1, 6, 8]),
    ]

  /// Both names of scales, each with those of the scales of activations.
  @Test(arguments: [("scale_weight", "scale_input"), ("weight_scale", "input_scale")], weights)
  func everyWeightIsMultipliedByItsScale(
    names: (weight: String, input: String),
    layer: (ElementKind, [UInt8], scales: Shape, [Float], TensorEncoding, [Float])
  ) throws {
    let (kind, bytes, shape, scales, encoding, values) = layer
    for scaleKind in [ElementKind.f32, .f16, .bf16] {
      let tensors = [
        ("x.a.weight", codes(kind, bytes, [2, 2])),
        ("x.a." + names.weight, StoredTensor(shape: shape, floats: scales, as: scaleKind)),
        ("x.a." + names.input, one(0.5)), ("x.a.bias", counting([2])),
        ("x.scaled_fp8", codes(.f8e4m3, [], [0])),
      ]
      try archive(tensors) { archive throws in
        #expect(archive.weights.names.sorted() == ["x.a.bias", "x.a.weight"])
        let tensor = try archive.weights.tensor("x.a.weight")
        #expect(tensor.entry == archive.weights.entry("x.a.weight"))
        #expect(tensor.encoding == encoding)
        #expect(tensor.floats() == values)
        let changes = archive.changes.map(\.text)
        #expect(
          changes.last
            == "left out: 1 scale of activations, which only programs that compute in float8 use: "
            + "'x.a.\(names.input)'")
        #expect(
          changes.count == (encoding == .plain(.f16) ? 2 : 1)
            && (changes.count == 1
              || changes[0]
                == "changed: 1 weight from \(kind.rawValue.lowercased()) codes to f16 numbers: "
                + "'x.a.weight'")
        )
      }
    }
  }

  /// A convolution keeps its shape. A weight that was not quantized is multiplied as well.
  @Test func otherShapesAndKinds() throws {
    try archive([
      ("a.weight", codes(.f8e4m3, Self.narrow, [2, 2, 1, 1])), ("a.scale_weight", one(2)),
      ("b.weight", StoredTensor(shape: [2], floats: [1, 3], as: .bf16)), ("b.scale_weight", one(2)),
    ]) { archive throws in
      #expect(
        archive.weights.entry("a.weight") == TensorEntry(shape: [2, 2, 1, 1], encoding: .float8))
      #expect(archive.weights.entry("b.weight")?.encoding == .plain(.bf16))
      #expect(try archive.weights.tensor("b.weight").floats() == [2, 6])
    }
  }

  /// float8 without scales is plain numbers, with or without the marker.
  @Test(arguments: [[], [("scaled_fp8", StoredTensor(shape: [2], floats: [0, 0]))]])
  func plainFloat8StaysPlain(marker: [(String, StoredTensor)]) throws {
    try archive([("a.weight", codes(.f8e4m3, Self.narrow, [2, 2]))] + marker) { archive throws in
      #expect(archive.weights.names == ["a.weight"])
      #expect(archive.weights.entry("a.weight")?.encoding == .plain(.f8e4m3))
      #expect(archive.changes.isEmpty)
    }
  }

  /// The header describes layers in place of `comfy_quant` tensors. ComfyUI removes a prefix first.
  @Test(
    arguments: ["", "model.diffusion_model."],
    [
      #"{"layers": {"a": {"format": "float8_e5m2"}, "absent": {"format": "x"}}}"#,
      #"{"layers": {"absent": {"format": "x"}, "a": {"format": "float8_e5m2"}}}"#,
    ])
  func headersDescribeLayers(prefix: String, layers: String) throws {
    try archive(
      [
        (prefix + "a.weight", codes(.f8e5m2, Self.wide, [2, 2])),
        (prefix + "a.weight_scale", one(0.25)),
      ], metadata: ["_quantization_metadata": layers]
    ) { archive throws in
      #expect(archive.weights.names == [prefix + "a.weight"])
      #expect(
        try archive.weights.tensor(prefix + "a.weight").floats() == [0.25, 0.5, -0.125, 0])
    }
    #expect(
      message {
        try self.archive(
          [("a.weight", counting([2]))], metadata: ["_quantization_metadata": "[]"])
      }.hasSuffix(
        "the metadata's '_quantization_metadata' is not a JSON text with an object 'layers'"))
  }

  @Test func describedLayersBeginAlike() throws {
    let layers = #"{"layers": {"a": {"format": "float8_e5m2"}, "b": {"format": "float8_e5m2"}}}"#
    func layer(_ name: String) -> [(String, StoredTensor)] {
      [
        (name + ".weight", codes(.f8e5m2, Self.wide, [2, 2])), (name + ".weight_scale", one(0.25)),
      ]
    }
    // The prefix that fits all layers, where others fit some.
    try archive(
      layer("x.a") + layer("y.a") + layer("y.b"), metadata: ["_quantization_metadata": layers]
    ) { archive throws in
      #expect(archive.weights.names == ["x.a.weight", "y.a.weight", "y.b.weight"])
      #expect(try archive.weights.tensor("y.b.weight").floats() == [0.25, 0.5, -0.125, 0])
    }
    #expect(
      message {
        try self.archive(
          layer("x.a") + layer("y.b"), metadata: ["_quantization_metadata": layers])
      }.hasSuffix(
        "tensor 'y.b.weight': is below the prefix 'y.', expected 'x.', as of the layers that the "
          + "header describes before 'b'"))
  }

  /// The config of a component describes nothing, but the header of its file does.
  @Test func headersOfComponentsDescribeLayers() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let header = #"{"layers": {"to_q": {"format": "float8_e5m2", "convrot": true}}}"#
      try writeSafetensors(
        MemorySource(
          location: "test",
          [("to_q.weight", codes(.f8e5m2, Self.wide, [2, 2])), ("to_q.weight_scale", one(1))]),
        metadata: ["_quantization_metadata": header],
        to: tiny.path + "/unet/" + "diffusion_pytorch_model.safetensors", replacing: true)
      #expect(tiny.refusal().hasSuffix("(ConvRot) (tensor 'to_q.comfy_quant')"))
    }
  }

  @Test func tensorsThatDoNotFitAreNamed() {
    func refusal(_ tensors: [(String, StoredTensor)]) -> String {
      let said = message { try archive(tensors) }
      return said.split(separator: "/f.safetensors: ").last.map(String.init) ?? said
    }
    let weight = ("a.weight", codes(.f8e4m3, Self.narrow, [2, 2]))
    #expect(
      refusal([("a.scale_weight", one(1))])
        == "tensor 'a.weight': missing, expected F8_E4M3, F8_E5M2, I8, F16, BF16 or F32 with an "
        + "extent for the output channels beside 'a.scale_weight'")
    #expect(
      refusal([weight, ("a.scale_weight", counting([3]))])
        == "tensor 'a.scale_weight': f32 [3], expected one number, or [2, 1], as F32, F16 or BF16 "
        + "beside 'a.weight'")
    #expect(
      refusal([weight, ("a.scale_weight", one(1)), ("a.weight_scale", one(1))])
        == "tensor 'a.weight': two scales, 'a.scale_weight' and 'a.weight_scale', expected one")
    #expect(
      refusal([weight, ("a.weight_scale", counting([2, 2]))])
        == "the weights are in a quantized form that Decant does not read: codes with a scale for "
        + "each block (tensor 'a.weight_scale')")
    // A header may claim any number of rows of no numbers.
    #expect(
      refusal([
        ("a.weight", codes(.i8, [], [1 << 60, 0])), ("a.weight_scale", one(1)),
      ]).hasPrefix("tensor 'a.weight': i8 [1152921504606846976, 0], expected "))
  }

  @Test func numbersThatFloat16DoesNotHoldAreNamed() throws {
    try archive([
      ("a.weight", codes(.f8e5m2, Self.wide, [2, 2])), ("a.scale_weight", one(60_000)),
    ]) { archive throws in
      let error = #expect(throws: WeightError.self) { try archive.weights.tensor("a.weight") }
      #expect(
        error?.found
          == "F8_E5M2 with a number beyond 65504, and weights with such scales are read as f16")
    }
  }

  // MARK: - Forms that are not read

  /// A few tensor names of each form, and its name.
  private static let foreign: [(names: [String], form: String)] = [
    (
      ["a.weight", "a.weight.absmax", "a.weight.quant_state.bitsandbytes__nf4"],
      "NF4 of bitsandbytes"
    ),
    (
      ["a.weight", "a.weight.quant_map", "a.weight.quant_state.bitsandbytes__fp4"],
      "FP4 of bitsandbytes"
    ),
    (["a.weight", "a.SCB", "a.weight_format"], "int8 of bitsandbytes"),
    (["a.weight", "a.weight.absmax"], "4 bits of bitsandbytes"),
    (["a.qweight", "a.wscales", "a.lora_down", "a.smooth"], "SVDQuant of nunchaku"),
    (["a.qweight", "a.qzeros", "a.scales", "a.g_idx"], "GPTQ"),
    (["a.qweight", "a.qzeros", "a.scales"], "GPTQ or AWQ"),
    (["a.weight._data", "a.weight._scale"], "quanto"),
    (["a.weight._data._data", "a.weight._shift"], "quanto"),
    (["a._weight_qdata", "a._weight_scale"], "torchao"),
    (["a.weight", "a.weight_scale", "a.weight_scale_2"], "NVFP4"),
    (["a.weight", "a.weight_s_rel", "a.weight_s_channel"], "asymmetric 4 bits (W4A8)"),
    (["a.weight", "a.weight_scale_inv"], "float8 with a scale for each block"),
    (
      ["a.weight_packed", "a.weight_scale", "a.weight_shape"],
      "packed integers of compressed-tensors"
    ),
    (["a.W_q", "a.meta"], "HQQ"),
    (["a.qweight_", "a.weight_scales"], "EETQ"),
  ]

  @Test(arguments: foreign) func otherFormsAreNamed(names: [String], form: String) throws {
    let error = #expect(throws: QuantizedFormError.self) {
      try archive(names.map { ($0, counting([1])) })
    }
    #expect(
      error?.description.contains(" does not read: \(form) (tensor 'a.") == true,
      "\(error?.description ?? "")")
    #expect(error?.remedy == .readOriginal)
  }

  @Test(arguments: [
    ("nvfp4", "NVFP4"), ("mxfp8", "MXFP8"),
    ("convrot_w4a4", "4 bits in rotated groups (ConvRot W4A4)"),
    ("asym_w4a8_int8", "asymmetric 4 bits (W4A8)"),
  ]) func otherFormatsOfComfyUIAreNamed(format: String, form: String) throws {
    let error = #expect(throws: QuantizedFormError.self) {
      try archive([
        ("a.weight", codes(.u8, [1, 2], [2, 1])),
        ("a.comfy_quant", text(#"{"format": "\#(format)"}"#)),
      ])
    }
    #expect(
      error?.description.hasSuffix(
        ": the weights are in a quantized form that Decant does not read: \(form) (tensor "
          + "'a.comfy_quant')")
        == true, "\(error?.description ?? "")")
  }

  /// The config names the form before the weights are opened, which may be pickles of other classes.
  @Test func configsAreReadFirst() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.remove(TinyFolder.stem + ".safetensors")
      try tiny.write("no pickle", TinyFolder.stem + ".bin")
      try tiny.write(
        #"{"_class_name": "UNet2DConditionModel", "quantization_config": {"quant_method": "torchao"}}"#,
        "unet/config.json")
      #expect(
        tiny.refusal().hasPrefix(
          "model/unet/config.json: the weights are quantized by torchao; expected "),
        "\(tiny.refusal())")
    }
  }

  /// The headers of shards describe layers, as the header of a single file does. Codes and scale may
  /// be in two shards.
  @Test func headersOfShardsAreRead() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.remove(TinyFolder.stem + ".safetensors")
      let shards = (1...2).map { "diffusion_pytorch_model-0000\($0)-of-00002.safetensors" }
      let description = #"{"layers": {"a": {"format": "float8_e4m3fn"}}}"#
      for (shard, tensor) in zip(
        shards,
        [("a.weight", codes(.f8e4m3, Self.narrow, [2, 2])), ("a.weight_scale", one(0.25))])
      {
        try writeSafetensors(
          MemorySource(location: "test", [tensor]),
          metadata: ["_quantization_metadata": description], to: tiny.path + "/unet/" + shard)
      }
      try tiny.write(
        #"{"weight_map": {"a.weight": "\#(shards[0])", "a.weight_scale": "\#(shards[1])"}}"#,
        TinyFolder.stem + ".safetensors.index.json")
      let weights = try #require(try tiny.read()["unet"]).weights
      #expect(weights.names == ["a.weight"])
      #expect(weights.entry("a.weight")?.encoding == .float8)
      #expect(try weights.tensor("a.weight").floats() == [0.25, 0.5, -0.125, 0])
    }
  }

  /// The same in a diffusers folder without a description in the config.
  @Test func foldersAreReadAlike() throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.weights(
        [("a.weight", codes(.f8e4m3, Self.narrow, [2, 2])), ("a.scale_weight", one(0.25))],
        TinyFolder.stem + ".safetensors")
      let model = try tiny.read()
      #expect(model["unet"]?.weights.names == ["a.weight"])
      #expect(model["unet"]?.weights.entry("a.weight")?.encoding == .float8)
      try tiny.weights(
        [("a.weight", codes(.f8e5m2, Self.wide, [2, 2])), ("a.scale_weight", one(0.25))],
        TinyFolder.stem + ".safetensors")
      #expect(
        try tiny.read().changes.map(\.text).contains(
          "changed: unet: 1 weight from f8_e5m2 codes to f16 numbers: 'a.weight'"))
      try tiny.weights(
        [("a.weight", counting([1])), ("a.weight.absmax", counting([1]))],
        TinyFolder.stem + ".safetensors")
      #expect(
        tiny.refusal()
          == "model/unet/diffusion_pytorch_model.safetensors: the weights are in a quantized form "
          + "that Decant does not read: 4 bits of bitsandbytes (tensor 'a.weight.absmax')")
    }
  }
}

import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// int8 weights in a diffusers folder in the form of SDNQ.
struct SDNQTests {
  private static let convolution = StoredTensor(
    shape: [2, 1, 3, 3], encoding: .int8,
    parts: [
      ByteSlice((0..<18).map { UInt8(bitPattern: Int8($0 - 9)) }), ByteSlice([0.5, 2] as [Float]),
    ])
  private static let linear = StoredTensor(
    shape: [3, 2], encoding: .int8,
    parts: [ByteSlice([1, 2, 3, 4, 5, 6] as [UInt8]), ByteSlice([1, 0.25, 3] as [Float])])

  /// A tiny model with a quantized convolution and a quantized linear layer.
  private func model(in folder: String) throws -> ModelSource {
    var model = try TinyFolder(in: folder).read()
    model["unet"]?.weights = MemorySource(
      location: "test",
      [
        ("conv_in.weight", counting([2, 1, 3, 3])), ("conv_in.bias", counting([2])),
        ("conv.weight", Self.convolution), ("conv.bias", counting([2])),
        ("to_q.weight", Self.linear), ("norm.weight", counting([2])),
      ])
    return model
  }

  private func write(_ model: ModelSource, to path: String) throws {
    try DiffusersFolderWriter().write(
      model, to: path, options: WriteOptions(program: "sdnq"))
  }

  @Test func codesAndScalesAreSeparateTensors() throws {
    try withTemporaryFolder { folder in
      try write(try model(in: folder), to: folder + "/out")
      let file = try SafetensorsFile(path: folder + "/out/unet/diffusion_pytorch_model.safetensors")
      #expect(
        file.names.sorted() == [
          "conv.bias", "conv.scale", "conv.weight", "conv_in.bias", "conv_in.weight", "norm.weight",
          "to_q.scale", "to_q.weight",
        ])
      #expect(
        file.entry("conv.weight") == TensorEntry(shape: [2, 1, 3, 3], encoding: .plain(.i8)))
      #expect(file.entry("conv.scale") == TensorEntry(shape: [2, 1, 1, 1], encoding: .plain(.f32)))
      #expect(file.entry("to_q.scale") == TensorEntry(shape: [3, 1], encoding: .plain(.f32)))
      #expect(try file.tensor("conv.scale").floats() == [0.5, 2])
      let config = try #require(
        JSONValue(parsing: text(folder + "/out/unet/config.json")).object?["quantization_config"]?
          .object)
      #expect(config["quant_method"] == "sdnq")
      // Matrices that are not int8 are listed, so that SDNQ does not take them for int8.
      #expect(config["modules_to_not_convert"] == ["conv_in.weight"])
      // The config of a component without int8 does not change.
      #expect(
        try JSONValue(parsing: text(folder + "/out/vae/config.json")).object?["quantization_config"]
          == nil)
    }
  }

  @Test func readsBackToTheBit() throws {
    try withTemporaryFolder { folder in
      let model = try model(in: folder)
      try write(model, to: folder + "/out")
      let back = try DiffusersFolderReader().read(folder + "/out", options: ReadOptions())
      let unet = try #require(back["unet"])
      #expect(unet.config == model["unet"]?.config)
      #expect(unet.weights.names.sorted() == model["unet"]?.weights.names.sorted())
      for (name, tensor) in [("conv.weight", Self.convolution), ("to_q.weight", Self.linear)] {
        let found = try unet.weights.tensor(name)
        #expect(found.entry == tensor.entry)
        #expect(found.parts.map(\.array) == tensor.parts.map(\.array))
      }
      #expect(try unet.weights.tensor("conv_in.bias").floats() == [0, 1])
    }
  }

  @Test func symmetricCodesAreAccepted() throws {
    let writer = DiffusersFolderWriter()
    let sdnq = try writer.profile(WriteOptions(program: "sdnq"))
    let groups = TensorEncoding.symmetric(bits: 4, groupSize: 32)
    for encoding in [.int8, .symmetric(bits: 8, groupSize: 64), groups] {
      #expect(sdnq.accepted(encoding) == encoding)
    }
    #expect(sdnq.accepted(.float8) == nil && sdnq.accepted(.codes(.rotatedInt8)) == nil)
    // Groups of a 3x3 kernel differ, and are stored as int8.
    for (shape, held) in [
      ([8, 64] as Shape, true), ([8, 64, 1, 1], true), ([8, 32, 3, 3], false), ([8, 48], false),
    ] {
      let entry = TensorEntry(shape: shape, encoding: groups)
      #expect(sdnq.holds(entry, of: "a.weight", in: "unet") == held, "\(shape)")
      #expect(sdnq.substitute(for: entry, of: "a.weight", in: "unet") == .int8)
    }
    #expect(sdnq.accepted(.plain(.bf16)) == .plain(.bf16))
    #expect(try writer.profile(WriteOptions()).accepted(.int8) == nil)
    #expect(try writer.profile(WriteOptions(program: "diffusers")).accepted(.int8) == nil)
  }

  /// A tensor with codes that count up, and scales that are halves.
  private static func grouped(bits: Int, size: Int, _ shape: Shape) throws -> StoredTensor {
    let encoding = TensorEncoding.symmetric(bits: bits, groupSize: size)
    let codes = (0..<shape.count).map { Int16($0 % 15 - 7) }
    let count = shape.count / size
    return StoredTensor(
      shape: shape, encoding: encoding,
      parts: encoding.packed(codes, for: shape)
        + StoredTensor(shape: [count], floats: (1...count).map { Float($0) / 2 }, as: .f16).parts)
  }

  /// The forms that SDNQ 0.2.8 loads, and the same tensors back.
  @Test func groupsOfInputChannelsAreExtents() throws {
    try withTemporaryFolder { folder in
      let tensors =
        [
          ("a", try Self.grouped(bits: 4, size: 32, [3, 64]), ElementKind.u8, [96], [3, 2, 1]),
          ("b", try Self.grouped(bits: 4, size: 32, [3, 64, 1, 1]), .u8, [96], [3, 2, 1, 1, 1]),
          ("c", try Self.grouped(bits: 4, size: 32, [3, 32]), .u8, [48], [3, 1]),
          ("d", try Self.grouped(bits: 8, size: 16, [3, 32]), .i8, [3, 2, 16], [3, 2, 1]),
          (
            "e", try Self.grouped(bits: 8, size: 32, [3, 32, 1, 1]), .i8, [3, 32, 1, 1],
            [3, 1, 1, 1]
          ),
        ] as [(String, StoredTensor, ElementKind, Shape, Shape)]
      var model = try TinyFolder(in: folder).read()
      model["unet"]?.weights = MemorySource(
        location: "test",
        tensors.map { ($0.0 + ".weight", $0.1) } + [("row.weight", Self.linear)])
      try write(model, to: folder + "/out")
      let file = try SafetensorsFile(path: folder + "/out/unet/diffusion_pytorch_model.safetensors")
      for (name, _, kind, codes, scales) in tensors {
        let found = (file.entry(name + ".weight"), file.entry(name + ".scale"))
        #expect(found.0 == TensorEntry(shape: codes, encoding: .plain(kind)), "\(name)")
        #expect(found.1 == TensorEntry(shape: scales, encoding: .plain(.f16)), "\(name)")
      }
      // The codes -7, -6, -5 and -4 plus 8.
      #expect(try file.tensor("a.weight").parts[0].array.prefix(2) == [0x21, 0x43])
      let config = try #require(
        JSONValue(parsing: text(folder + "/out/unet/config.json")).object?["quantization_config"]?
          .object)
      let modules = try #require(config["modules_quant_config"]?.object)
      #expect(modules["a.weight"] == ["weights_dtype": "int4", "group_size": 32])
      #expect(modules["d.weight"] == ["weights_dtype": "int8", "group_size": 16])
      #expect(modules["row.weight"] == nil)

      let back = try DiffusersFolderReader().read(folder + "/out", options: ReadOptions())
      let weights = try #require(back["unet"]?.weights)
      #expect(
        weights.names.sorted() == (tensors.map { $0.0 + ".weight" } + ["row.weight"]).sorted())
      for (name, tensor, _, _, _) in tensors {
        let found = try weights.tensor(name + ".weight")
        #expect(found.entry == tensor.entry, "\(name)")
        #expect(found.parts.map(\.array) == tensor.parts.map(\.array), "\(name)")
      }
    }
  }

  /// Codes of any kind without their scale are no numbers.
  @Test(arguments: [
    (ElementKind.u8, "uint8"), (.i16, "int16"), (.u16, "uint16"), (.f8e4m3, "float8_e4m3fn"),
    (.f8e5m2, "float8_e5m2"),
  ])
  func codesWithoutAScaleAreNamed(kind: ElementKind, type: String) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let codes = TensorEntry(shape: [2, 2], encoding: .plain(kind))
      try tiny.weights(
        [
          (
            "to_q.weight",
            StoredTensor(
              shape: codes.shape, encoding: codes.encoding,
              parts: [ByteSlice([UInt8](repeating: 0, count: codes.byteCount))])
          ), ("norm.weight", counting([2])),
        ], TinyFolder.stem + ".safetensors")
      try tiny.write(
        #"{"_class_name": "UNet2DConditionModel", "quantization_config": "#
          + #"{"quant_method": "sdnq", "weights_dtype": "\#(type)"}}"#,
        "unet/config.json")
      #expect(
        tiny.refusal() == "model/unet/diffusion_pytorch_model.safetensors: tensor 'to_q.scale': "
          + "missing, expected f32 [out, 1] beside 'to_q.weight'")
    }
  }

  private static let readable =
    "expected 'sdnq' with an integer or a float of 2 to 8, 16 or 32 bits as 'weights_dtype', and "
    + "scales that are not quantized"

  /// Other back ends, and their errors.
  @Test(arguments: [
    (#"{"quant_method": "bitsandbytes"}"#, "by bitsandbytes; \(readable)"),
    (#"{"quant_method": "gptq"}"#, "by GPTQ; \(readable)"),
    (#"{"quant_method": "torchao"}"#, "by torchao; \(readable)"),
    (#"{"quant_method": "other"}"#, "by 'other'; \(readable)"),
    ("7", "by an unknown method ('quantization_config' is a number); \(readable)"),
    ("{}", "by an unknown method ('quant_method' is missing); \(readable)"),
  ]) func otherBackEndsAreRefused(config: String, sentence: String) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      try tiny.write(
        #"{"_class_name": "UNet2DConditionModel", "quantization_config": \#(config)}"#,
        "unet/config.json")
      #expect(
        tiny.refusal() == "model/unet/config.json: the weights are quantized " + sentence)
    }
  }

  @Test(
    arguments: [
      (nil, "missing"), (counting([2]), "f32 [2]"), (counting([3, 1]), "f32 [3, 1]"),
    ] as [(StoredTensor?, String)])
  func scalesMustFitTheWeights(scale: StoredTensor?, found: String) throws {
    try withTemporaryFolder { folder in
      let tiny = try TinyFolder(in: folder)
      let codes = StoredTensor(
        shape: [2, 2], encoding: .plain(.i8), parts: [ByteSlice([1, 2, 3, 4] as [UInt8])])
      try tiny.weights(
        [("to_q.weight", codes)] + (scale.map { [("to_q.scale", $0)] } ?? []),
        TinyFolder.stem + ".safetensors")
      try tiny.write(
        #"{"_class_name": "UNet2DConditionModel", "quantization_config": {"quant_method": "sdnq"}}"#,
        "unet/config.json")
      let sentence =
        "model/unet/diffusion_pytorch_model.safetensors: tensor 'to_q.scale': \(found), expected "
        + (scale == nil ? "f32 [out, 1]" : "f32 [2, 1]") + " beside 'to_q.weight'"
      // A vector with one scale per row is accepted, because it is unambiguous.
      #expect(tiny.refusal() == (found == "f32 [2]" ? "no error" : sentence))
    }
  }
}

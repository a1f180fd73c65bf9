import Checkpoints
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// Weights in SDNQ's types and options that Decant does not write. The packed bytes and the matrices
/// are those of SDNQ 0.2.8.
struct SDNQWeightTests {
  /// What reading the weight `X.weight` of a folder gives.
  private func read(
    _ settings: String, _ tensors: [(String, StoredTensor)],
    _ body: (any WeightSource, ModelSource) throws -> Void
  ) throws {
    try withTemporaryFolder { folder in
      let tiny = try folderWith(settings, tensors, in: folder)
      let model = try tiny.read()
      try body(try #require(model["unet"]?.weights), model)
    }
  }

  private func folderWith(
    _ settings: String, _ tensors: [(String, StoredTensor)], in folder: String
  ) throws -> TinyFolder {
    let tiny = try TinyFolder(in: folder)
    try tiny.weights(tensors, TinyFolder.stem + ".safetensors")
    try tiny.write(
      #"{"_class_name": "UNet2DConditionModel", "quantization_config": {"quant_method": "sdnq", \#(settings)}}"#,
      "unet/config.json")
    return tiny
  }

  private func refusal(_ settings: String, _ tensors: [(String, StoredTensor)]) throws -> String {
    try withTemporaryFolder { folder in
      try folderWith(settings, tensors, in: folder).refusal()
    }
  }

  private func bytes(_ kind: ElementKind, _ bytes: [UInt8], _ shape: Shape) -> StoredTensor {
    StoredTensor(shape: shape, encoding: .plain(kind), parts: [ByteSlice(bytes)])
  }

  private func ones(_ shape: Shape) -> StoredTensor {
    StoredTensor(shape: shape, floats: [Float](repeating: 1, count: shape.count))
  }

  private static func changes(_ model: ModelSource) -> [String] {
    model.changes.filter { $0.component == "unet" }.map(\.text)
  }

  /// The codes `(5i + 3) mod 2^bits`, as SDNQ packs them.
  private static let packed: [(bits: Int, bytes: [UInt8])] = [
    (2, [0x93, 0x93, 0x93, 0x93]),
    (3, [0x53, 0xb8, 0xa5, 0x53, 0xb8, 0xa5]),
    (4, [0x83, 0x2d, 0xc7, 0x61, 0x0b, 0xa5, 0x4f, 0xe9]),
    (5, [0x83, 0x28, 0xcd, 0x72, 0x17, 0x8b, 0x30, 0xd5, 0x1a, 0xbf]),
    (6, [0x43, 0x08, 0x8d, 0x97, 0x5c, 0xa1, 0xeb, 0xb0, 0xb5, 0x3f, 0xc4, 0x89]),
    (
      7,
      [0x03, 0x88, 0x0d, 0x12, 0x97, 0x9c, 0x21, 0xab, 0x30, 0x35, 0xba, 0xbf, 0xc4, 0x49]
    ),
  ]

  @Test(arguments: packed) func packedIntegersOfEveryWidth(bits: Int, bytes: [UInt8]) throws {
    let codes = (0..<16).map { ($0 * 5 + 3) % (1 << bits) }
    let weight = self.bytes(.u8, bytes, [bytes.count])
    let scale = StoredTensor(shape: [2, 1], floats: [0.5, 2])
    let zero = StoredTensor(shape: [2, 1], floats: [-1, 3])
    try read(
      #""weights_dtype": "int\#(bits)""#, [("X.weight", weight), ("X.scale", scale)]
    ) { weights, model throws in
      #expect(weights.names == ["X.weight"])
      let tensor = try weights.tensor("X.weight")
      #expect(tensor.entry == TensorEntry(shape: [2, 8], encoding: .plain(.f16)))
      #expect(
        tensor.floats()
          == codes.enumerated().map { Float($1 - 1 << (bits - 1)) * ($0 < 8 ? 0.5 : 2) })
      #expect(
        Self.changes(model) == [
          "changed: unet: 1 weight from u8 codes to f16 numbers: 'X.weight'"
        ])
    }
    try read(
      #""weights_dtype": "uint\#(bits)""#,
      [("X.weight", weight), ("X.scale", scale), ("X.zero_point", zero)]
    ) { weights, _ throws in
      #expect(weights.names == ["X.weight"])
      #expect(
        try weights.tensor("X.weight").floats()
          == codes.enumerated().map { $0 < 8 ? Float($1) * 0.5 - 1 : Float($1) * 2 + 3 })
    }
  }

  /// Codes 0 to 15 of floats of 4 bits, and what they stand for.
  @Test(
    arguments: [
      ("float4_e2m1fn", [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6]),
      ("fp4", [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6]),
      ("float4_e1m2fn", [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 0, -0.5, -1, -1.5, -2, -2.5, -3, -3.5]),
    ] as [(String, [Float])])
  func packedFloats(type: String, values: [Float]) throws {
    let weight = bytes(.u8, (0..<8).map { UInt8(0x10 + 0x22 * $0) }, [8])
    try read(
      #""weights_dtype": "\#(type)""#, [("X.weight", weight), ("X.scale", ones([2, 1]))]
    ) { weights, _ throws in
      #expect(weights.entry("X.weight")?.shape == [2, 8])
      #expect(try weights.tensor("X.weight").floats() == values)
    }
  }

  /// A scale for each group of input channels, and for each place of a kernel. The scales of Decant's
  /// own groups are float16, and their codes stay.
  @Test func groupsAndKernels() throws {
    let codes = bytes(.i8, [1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2])
    let grouped = StoredTensor(shape: [2, 2, 1], floats: [1, 2, 3, 4])
    try read(#""group_size": 2"#, [("X.weight", codes), ("X.scale", grouped)]) {
      weights, _ throws in
      #expect(weights.entry("X.weight") == TensorEntry(shape: [2, 4], encoding: .plain(.f16)))
      #expect(try weights.tensor("X.weight").floats() == [1, 2, 6, 8, 15, 18, 28, 32])
    }
    let half = StoredTensor(shape: [2, 2, 1], floats: [1, 2, 3, 4], as: .f16)
    try read(#""group_size": 2"#, [("X.weight", codes), ("X.scale", half)]) {
      weights, model throws in
      #expect(weights.entry("X.weight")?.encoding == .symmetric(bits: 8, groupSize: 2))
      #expect(try weights.tensor("X.weight").floats() == [1, 2, 6, 8, 15, 18, 28, 32])
      #expect(Self.changes(model).isEmpty)
    }
    // [out, in, 1, 2] with a scale [out, 1, 1, 2].
    let kernel = bytes(.i8, [1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 1, 2])
    let places = StoredTensor(shape: [2, 1, 1, 2], floats: [1, 10, 2, 20])
    try read(#""quant_conv": true"#, [("X.weight", kernel), ("X.scale", places)]) {
      weights, _ throws in
      #expect(weights.entry("X.weight")?.shape == [2, 2, 1, 2])
      #expect(try weights.tensor("X.weight").floats() == [1, 20, 3, 40, 10, 120, 14, 160])
    }
    // The same with groups of one channel.
    let split = bytes(.i8, [1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 1, 1, 2])
    let scales = StoredTensor(shape: [2, 2, 1, 1, 2], floats: [1, 10, 1, 10, 2, 20, 2, 20])
    try read(#""quant_conv": true"#, [("X.weight", split), ("X.scale", scales)]) {
      weights, _ throws in
      #expect(weights.entry("X.weight")?.shape == [2, 2, 1, 2])
      #expect(try weights.tensor("X.weight").floats() == [1, 20, 3, 40, 10, 120, 14, 160])
    }
  }

  @Test func codesThatAnEncodingHoldsStay() throws {
    let float8 = bytes(.f8e4m3, [0x38, 0x40, 0xB0, 0], [2, 2])
    try read(
      #""weights_dtype": "float8_e4m3fn", "group_size": -2"#,
      [("X.weight", float8), ("X.scale", StoredTensor(shape: [1, 1], floats: [2]))]
    ) { weights, model throws in
      #expect(weights.entry("X.weight")?.encoding == .float8)
      #expect(try weights.tensor("X.weight").floats() == [2, 4, -1, 0])
      #expect(Self.changes(model).isEmpty)
    }
    let wide = bytes(.f8e5m2, [0x3C, 0x40, 0xB8, 0], [2, 2])
    try read(
      #""weights_dtype": "float8_e5m2""#,
      [("X.weight", wide), ("X.scale", StoredTensor(shape: [2, 1], floats: [1, 2]))]
    ) { weights, _ throws in
      #expect(weights.entry("X.weight")?.encoding == .plain(.f16))
      #expect(try weights.tensor("X.weight").floats() == [1, 2, -1, 0])
    }
  }

  @Test func productsRotationsAndCodebooks() throws {
    let codes = bytes(.i8, [1, 2, 3, 4], [1, 4])
    let up = StoredTensor(shape: [1, 1], floats: [2])
    let down = StoredTensor(shape: [1, 4], floats: [1, 0, -1, 0.5])
    try read(
      #""use_svd": true"#,
      [("X.weight", codes), ("X.scale", ones([1, 1])), ("X.svd_up", up), ("X.svd_down", down)]
    ) { weights, _ throws in
      #expect(weights.names == ["X.weight"])
      #expect(try weights.tensor("X.weight").floats() == [3, 2, 1, 5])
    }
    // Groups of 4: half of 1 1 1 -1, 1 1 -1 1, 1 -1 1 1, -1 1 1 1.
    try read(
      #""use_hadamard": true"#, [("X.weight", codes), ("X.scale", ones([1, 1]))]
    ) { weights, _ throws in
      #expect(try weights.tensor("X.weight").floats() == [1, 2, 3, 4])
      #expect(weights.entry("X.weight")?.encoding == .plain(.f16))
    }
    // Groups of 8 are no power of 4: rows of 1 and -1 over the root of 8.
    try read(
      #""use_hadamard": true, "hadamard_group_size": 8"#,
      [
        ("X.weight", bytes(.i8, [8, 0, 0, 0, 0, 0, 0, 0], [1, 8])),
        ("X.scale", StoredTensor(shape: [1, 1], floats: [Float(0.125).squareRoot()])),
      ]
    ) { weights, _ throws in
      #expect(try weights.tensor("X.weight").floats() == [1, 1, 1, 1, 1, 1, 1, 1])
    }
    // 3 input channels are in no group.
    try read(
      #""use_hadamard": true"#,
      [("X.weight", bytes(.i8, [1, 2, 3], [1, 3])), ("X.scale", ones([1, 1]))]
    ) { weights, _ throws in
      #expect(weights.entry("X.weight")?.encoding == .int8)
    }
    let book = StoredTensor(shape: [2, 4], floats: [0.5, 1, 1.5, 2, -1, -2, -3, -4])
    try read(
      #""weights_dtype": "uint2", "use_codebook": true"#,
      [("X.weight", bytes(.u8, [0b11_10_01_00, 0b00_01_10_11], [2])), ("X.scale", book)]
    ) { weights, _ throws in
      #expect(weights.entry("X.weight")?.shape == [2, 4])
      #expect(
        try weights.tensor("X.weight").floats() == [0.5, 1, 1.5, 2, -4, -3, -2, -1])
    }
  }

  /// The ways in which a config names the type of a weight.
  @Test(arguments: [
    #""modules_dtype_dict": {"int4": ["down.0.to_q.weight"]}"#,
    #""modules_dtype_dict": {"int4": ["to_q"]}"#,
    #""modules_dtype_dict": {"int4": ["x", "down.*.to_q"]}"#,
    #""modules_dtype_dict": {"int4": ["d*q"]}"#,
    #""modules_dtype_dict": {"int4": [".down"]}"#,
    #""modules_dtype_dict": {"int8": ["to_k", "own.0", "down.1*", "*up"], "int4": "to_q"}"#,
    #""modules_quant_config": {"to_q": {"weights_dtype": "int4"}}"#,
    #""weights_dtype": "int2", "modules_dtype_dict": {"minimum_6bit": ["to_k"], "int4": ["to_q"]}"#,
    #""weights_dtype": "int4", "modules_dtype_dict": {"minimum_3bits": ["to_q"]}"#,
  ])
  func configsNameTheTypesOfWeights(settings: String) throws {
    try read(
      settings,
      [
        ("down.0.to_q.weight", bytes(.u8, [0x98, 0x0F], [2])),
        ("down.0.to_q.scale", ones([2, 1])),
      ]
    ) { weights, _ throws in
      #expect(try weights.tensor("down.0.to_q.weight").floats() == [0, 1, 7, -8])
    }
  }

  @Test func minimumsRaiseTheType() throws {
    try read(
      #""weights_dtype": "int2", "modules_dtype_dict": {"minimum_4bit": ["X"]}"#,
      [
        ("X.weight", bytes(.u8, [0x98], [1])), ("X.scale", ones([2, 1])),
        ("X.zero_point", ones([2, 1])),
      ]
    ) { weights, _ throws in
      #expect(try weights.tensor("X.weight").floats() == [9, 10])
    }
  }

  @Test func optionsThatAreNotReadAreNamed() throws {
    let codes = ("X.weight", bytes(.i8, [1, 2, 3, 4], [2, 2]))
    let scale = ("X.scale", ones([2, 1]))
    let start = "model/unet/config.json: the weights are quantized by 'sdnq' with "
    for (settings, tensors, found) in [
      (#""weights_dtype": "int9""#, [codes, scale], "'weights_dtype' 'int9'"),
      (
        #""scale_dtype": "int8""#, [codes, scale, ("X.scale_2", ones([1]))],
        "quantized scales ('X.scale_2')"
      ),
      (
        #""use_quantized_matmul": true"#, [codes, ("X.scale", ones([1, 2]))],
        "'use_quantized_matmul'"
      ),
      (
        #""weights_dtype": "int4", "group_size": -2"#,
        [("X.weight", bytes(.u8, [1, 2], [2])), ("X.scale", ones([1, 1]))], "'group_size' -2"
      ),
      (
        #""weights_dtype": "uint16", "use_codebook": true"#,
        [("X.weight", bytes(.u16, [1, 0], [1, 1])), ("X.scale", ones([1, 1]))],
        "'use_codebook' and uint16"
      ),
    ] as [(String, [(String, StoredTensor)], String)] {
      let said = try refusal(settings, tensors)
      #expect(said.hasPrefix("\(start)\(found), for 'X.weight'; expected "), "\(said)")
    }
  }

  @Test func tensorsThatDoNotFitAreNamed() throws {
    let codes = ("X.weight", bytes(.u8, [1, 2], [2]))
    let scale = ("X.scale", ones([2, 1]))
    let start = "model/unet/diffusion_pytorch_model.safetensors: tensor "
    for (settings, tensors, found) in [
      (
        #""weights_dtype": "int8""#, [codes, scale],
        "'X.weight': u8 [2], expected i8 beside 'X.scale'"
      ),
      (
        #""weights_dtype": "uint4""#, [codes, scale],
        "'X.zero_point': missing, expected f32 [2, 1] beside 'X.weight'"
      ),
      (
        #""weights_dtype": "int3""#, [codes, scale],
        "'X.weight': u8 [2], expected codes of 3 bits beside 'X.scale'"
      ),
      (
        #""weights_dtype": "int4""#, [codes, ("X.scale", ones([3, 1]))],
        "'X.scale': f32 [3, 1], expected f32 [out, 1] or [out, groups, 1] beside 'X.weight'"
      ),
      (
        #""weights_dtype": "int4", "use_svd": true"#,
        [codes, scale, ("X.svd_up", ones([3, 1])), ("X.svd_down", ones([1, 2]))],
        "'X.svd_up': f32 [3, 1], expected f32 [2, rank] beside 'X.weight'"
      ),
      (
        #""weights_dtype": "int4", "use_svd": true"#,
        [codes, scale, ("X.svd_up", ones([2, 1]))],
        "'X.svd_down': missing, expected f32 [1, 2] beside 'X.weight'"
      ),
    ] as [(String, [(String, StoredTensor)], String)] {
      #expect(try refusal(settings, tensors) == start + found)
    }
  }
}

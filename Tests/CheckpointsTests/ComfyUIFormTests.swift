import Checkpoints
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// Quantized linear layers in ComfyUI's native form.
struct ComfyUIFormTests {
  private let profile: any OutputProfile

  init() throws { profile = try CheckpointWriter().profile(WriteOptions(program: "comfyui")) }

  private static let linear = StoredTensor(
    shape: [3, 2], encoding: .int8,
    parts: [ByteSlice([1, 2, 3, 4, 5, 0xFF] as [UInt8]), ByteSlice([1, 0.25, 3] as [Float])])

  private func bytes(_ text: String) -> StoredTensor {
    StoredTensor(
      shape: [text.utf8.count], encoding: .plain(.u8), parts: [ByteSlice(Array(text.utf8))])
  }

  /// The tensors of a layer `a` in ComfyUI's form.
  private func layer(
    _ format: String, codes: StoredTensor, scales: StoredTensor
  ) -> MemorySource {
    MemorySource(
      location: "test",
      [
        ("a.weight", codes), ("a.weight_scale", scales), ("a.comfy_quant", bytes(format)),
        ("a.bias", counting([codes.shape.rows])),
      ])
  }

  private func joined(_ source: MemorySource) throws -> any WeightSource {
    try #require(try ComfyUIForm().restored(source, path: "f.safetensors"))
  }

  private func codes(_ values: [Int8], _ shape: Shape) -> StoredTensor {
    StoredTensor(
      shape: shape, encoding: .plain(.i8),
      parts: [ByteSlice(values.map { UInt8(bitPattern: $0) })])
  }

  @Test func aLayerIsThreeTensors() throws {
    let base = MemorySource(
      location: "test", [("a.weight", Self.linear), ("a.bias", counting([3]))])
    let split = SplitSource(base, split: ComfyUIForm.pieces)
    #expect(split.names == ["a.weight", "a.weight_scale", "a.comfy_quant", "a.bias"])
    #expect(split.entry("a.weight") == TensorEntry(shape: [3, 2], encoding: .plain(.i8)))
    // A flat [out] does not load.
    #expect(split.entry("a.weight_scale") == TensorEntry(shape: [3, 1], encoding: .plain(.f32)))
    #expect(try split.tensor("a.weight_scale").floats() == [1, 0.25, 3])
    let text = try split.tensor("a.comfy_quant").parts[0].array
    let description = try JSONValue(parsing: ByteSlice(text).bytes)
    #expect(description == ["format": "int8_tensorwise"])

    let whole = try #require(try ComfyUIForm().restored(split, path: "f"))
    #expect(whole.names == ["a.weight", "a.bias"])
    #expect(whole.entry("a.weight") == Self.linear.entry)
    #expect(try whole.tensor("a.weight").parts.map(\.array) == Self.linear.parts.map(\.array))
  }

  @Test func onlyLinearLayersOfTheUNetAreQuantized() {
    let linear = TensorEntry(shape: [8, 8], encoding: .int8)
    let kernel = TensorEntry(shape: [8, 8, 3, 3], encoding: .int8)
    #expect(profile.holds(linear, of: "a.weight", in: "unet"))
    #expect(!profile.holds(kernel, of: "a.weight", in: "unet"))
    #expect(!profile.holds(linear, of: "a.weight", in: "text_encoder"))
    #expect(profile.accepted(.symmetric(bits: 4, groupSize: 32)) == nil)
    #expect(profile.accepted(.float8) == .float8)
    #expect(profile.accepted(.codes(.rotatedInt8)) == .codes(.rotatedInt8))
    let others = OutputProfiles.all.filter { $0.accepted(.float8) != nil }.map(\.title)
    #expect(others == ["ComfyUI", "ComfyUI (single components)"])
  }

  @Test func aSingleScaleServesEveryRow() throws {
    let source = layer(
      #"{"format": "int8_tensorwise", "full_precision_matrix_mult": true}"#,
      codes: codes([1, -2, 3, 4], [2, 2]), scales: StoredTensor(shape: [], floats: [0.5]))
    #expect(try joined(source).tensor("a.weight").floats() == [0.5, -1, 1.5, 2])
    #expect(try joined(source).entry("a.weight")?.encoding == .int8)
  }

  // 0x38 is 1, 0x40 is 2, 0xB0 is -0.5 in float8_e4m3fn.
  private static let float8 = StoredTensor(
    shape: [2, 2], encoding: .float8,
    parts: [ByteSlice([0x38, 0x40, 0xB0, 0] as [UInt8]), ByteSlice([0.25] as [Float])])

  @Test(arguments: [[], [1], [1, 1]] as [Shape])
  func scaledFloat8StaysAsItIs(scale: Shape) throws {
    let codes = StoredTensor(
      shape: [2, 2], encoding: .plain(.f8e4m3), parts: [Self.float8.parts[0]])
    let source = layer(
      #"{"format": "float8_e4m3fn"}"#, codes: codes,
      scales: StoredTensor(shape: scale, floats: [0.25]))
    let tensor = try joined(source).tensor("a.weight")
    #expect(tensor.entry == (try joined(source).entry("a.weight")))
    #expect(tensor.encoding == .float8)
    #expect(tensor.floats() == [0.25, 0.5, -0.125, 0])
  }

  /// One scale for each row has no encoding.
  @Test func float8WithAScaleForEachRowBecomesFloat16() throws {
    let codes = StoredTensor(
      shape: [2, 2], encoding: .plain(.f8e4m3), parts: [Self.float8.parts[0]])
    let source = layer(
      #"{"format": "float8_e4m3fn"}"#, codes: codes,
      scales: StoredTensor(shape: [2, 1], floats: [0.25, 2]))
    let tensor = try joined(source).tensor("a.weight")
    #expect(tensor.encoding == .plain(.f16))
    #expect(tensor.floats() == [0.25, 0.5, -1, 0])
  }

  /// 0x3C is 1, 0x40 is 2, 0xB8 is -0.5 in float8_e5m2, which no encoding has with a scale.
  @Test func wideFloat8BecomesFloat16() throws {
    let codes = StoredTensor(
      shape: [2, 2], encoding: .plain(.f8e5m2),
      parts: [ByteSlice([0x3C, 0x40, 0xB8, 0] as [UInt8])])
    let source = layer(
      #"{"format": "float8_e5m2"}"#, codes: codes, scales: StoredTensor(shape: [], floats: [0.25]))
    let whole = try joined(source)
    #expect(whole.names == ["a.weight", "a.bias"])
    let tensor = try whole.tensor("a.weight")
    #expect(tensor.encoding == .plain(.f16))
    #expect(tensor.floats() == [0.25, 0.5, -0.125, 0])
  }

  private static let forms: [(StoredTensor, ElementKind, Shape, JSONValue)] = [
    (
      StoredTensor(
        shape: [2, 48], encoding: .codes(.rotatedInt8),
        parts: [ByteSlice((0..<96).map(UInt8.init)), ByteSlice([1, 0.5] as [Float])]),
      .i8, [2, 1], ["format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 16]
    ),
    (float8, .f8e4m3, [], ["format": "float8_e4m3fn"]),
  ]

  /// The form of each encoding, and the same tensor back.
  @Test(arguments: forms)
  func everyEncodingHasAForm(
    tensor: StoredTensor, kind: ElementKind, scale: Shape, description: JSONValue
  ) throws {
    let base = MemorySource(location: "test", [("a.weight", tensor)])
    let split = SplitSource(base, split: ComfyUIForm.pieces)
    #expect(split.entry("a.weight") == TensorEntry(shape: tensor.shape, encoding: .plain(kind)))
    #expect(split.entry("a.weight_scale") == TensorEntry(shape: scale, encoding: .plain(.f32)))
    let text = try split.tensor("a.comfy_quant").parts[0].array
    #expect(try JSONValue(parsing: ByteSlice(text).bytes) == description)
    let found = try #require(try ComfyUIForm().restored(split, path: "f")).tensor("a.weight")
    #expect(found.entry == tensor.entry)
    #expect(found.parts.map(\.array) == tensor.parts.map(\.array))
  }

  /// Groups of other sizes than Decant's are rotated back. The settings may be in `params`.
  @Test(arguments: [
    #"{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 4}"#,
    #"{"format": "int8_tensorwise", "params": {"convrot": true, "convrot_groupsize": 4}}"#,
  ])
  func otherGroupsBecomeFloat16(format: String) throws {
    let source = layer(
      format, codes: codes([1, 2, 3, 4, 0, 0, 2, 0], [2, 4]),
      scales: StoredTensor(shape: [2, 1], floats: [2, 0.5]))
    let tensor = try joined(source).tensor("a.weight")
    #expect(tensor.encoding == .plain(.f16))
    #expect(tensor.floats() == [2, 4, 6, 8, 0.5, -0.5, 0.5, 0.5])
  }

  /// Layers that no encoding holds are refused where float16 does not hold them either.
  @Test(
    arguments: [
      (
        1000,
        "F8_E4M3 with a number beyond 65504, and weights with such scales are read as f16"
      ),
      (.infinity, "NaN or infinite numbers"),
    ] as [(Float, String)])
  func numbersBeyondFloat16AreNamed(scale: Float, found: String) throws {
    // 0x7E is 448.
    let codes = StoredTensor(
      shape: [2, 2], encoding: .plain(.f8e4m3),
      parts: [ByteSlice([0x38, 0x38, 0x7E, 0x38] as [UInt8])])
    let source = layer(
      #"{"format": "float8_e4m3fn"}"#, codes: codes,
      scales: StoredTensor(shape: [2, 1], floats: [1, scale]))
    let error = #expect(throws: WeightError.self) { try joined(source).tensor("a.weight") }
    #expect(error?.description == "f.safetensors: tensor 'a.weight': \(found)")
  }

  @Test(arguments: [
    (
      "{}", "'format' null, expected 'format' 'int8_tensorwise', 'float8_e4m3fn' or 'float8_e5m2'"
    ),
    (#"{"format": "int3"}"#, #"'format' "int3", expected "#),
    ("[", "not a JSON object"),
    (
      #"{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 8}"#,
      "'convrot_groupsize' 8, expected a power of 4"
    ),
    (
      #"{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 16}"#,
      "rotated groups of 16 weights, which do not divide rows of 2"
    ),
    (
      #"{"format": "float8_e4m3fn"}"#,
      "i8 [2, 2], expected F8_E4M3 with an extent for the output channels beside 'a.weight_scale'"
    ),
    (
      #"{"format": "float8_e5m2"}"#,
      "i8 [2, 2], expected F8_E5M2 with an extent for the output channels beside 'a.weight_scale'"
    ),
  ])
  func otherFormsAreNamed(format: String, found: String) throws {
    let source = layer(
      format, codes: codes([1, 2, 3, 4], [2, 2]),
      scales: StoredTensor(shape: [2, 1], floats: [1, 1]))
    let error = #expect(throws: WeightError.self) { try joined(source) }
    #expect(error?.description.contains(found) == true, "\(error?.description ?? "")")
  }

  /// Rotated groups of float8 codes, and of a single scale, are rotated back.
  @Test(arguments: [[], [2, 1]] as [Shape]) func rotatedFloat8BecomesFloat16(scale: Shape) throws {
    // 0x38 is 1, 0x40 is 2 in float8_e4m3fn.
    let codes = StoredTensor(
      shape: [2, 4], encoding: .plain(.f8e4m3),
      parts: [ByteSlice([0x38, 0x40, 0, 0, 0, 0, 0x40, 0] as [UInt8])])
    let scales = StoredTensor(shape: scale, floats: [Float](repeating: 0.5, count: scale.count))
    let source = layer(
      #"{"format": "float8_e4m3fn", "convrot": true, "convrot_groupsize": 4}"#, codes: codes,
      scales: scales)
    let tensor = try joined(source).tensor("a.weight")
    #expect(tensor.encoding == .plain(.f16))
    var expected: [Float] = [0.5, 1, 0, 0, 0, 0, 1, 0]
    var span = expected.mutableSpan
    rotate(&span, groupSize: 4)
    #expect(tensor.floats() == expected)
  }

  /// Rows of a convolution have no rotated groups.
  @Test func rotatedConvolutionsAreRefused() throws {
    let source = layer(
      #"{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 4}"#,
      codes: codes([1, 2, 3, 4], [1, 1, 2, 2]), scales: StoredTensor(shape: [1, 1], floats: [1]))
    let error = #expect(throws: WeightError.self) { try joined(source) }
    #expect(
      error?.description.hasSuffix(
        "tensor 'a.comfy_quant': rotated groups of a weight [1, 1, 2, 2], expected [out, in]")
        == true, "\(error?.description ?? "")")
  }

  /// No rotation is undone in float8_e5m2.
  @Test func rotatedWideFloat8IsRefused() throws {
    let source = layer(
      #"{"format": "float8_e5m2", "convrot": true, "convrot_groupsize": 4}"#,
      codes: StoredTensor(
        shape: [1, 4], encoding: .plain(.f8e5m2), parts: [ByteSlice([0x3C, 0, 0, 0] as [UInt8])]),
      scales: StoredTensor(shape: [], floats: [1]))
    #expect(
      throws: QuantizedFormError.unread(
        path: "f.safetensors", form: "float8_e5m2 in rotated groups (ConvRot)",
        tensor: "a.comfy_quant")
    ) { try joined(source) }
  }

  @Test func aLayerWithoutItsScaleIsNamed() throws {
    let source = MemorySource(
      location: "test",
      [
        ("a.weight", codes([1], [1, 1])),
        ("a.comfy_quant", bytes(#"{"format": "int8_tensorwise"}"#)),
      ])
    let error = #expect(throws: WeightError.self) { try joined(source) }
    #expect(error?.tensor == "a.weight_scale")
    let none = MemorySource(location: "test", [("a.weight", counting([2, 2]))])
    #expect(try ComfyUIForm().restored(none, path: "f") == nil)
  }
}

import ModelSources
import Support
import Tensors
import TestSupport
import Testing

@testable import Checkpoints

/// Quantized linear layers in ComfyUI's native form.
struct ComfyUIQuantizationTests {
  private let profile = ComfyUINativeProfile()

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
    try #require(try profile.restored([:], source, path: "f.safetensors")).weights
  }

  private func codes(_ values: [Int8], _ shape: Shape) -> StoredTensor {
    StoredTensor(
      shape: shape, encoding: .plain(.i8),
      parts: [ByteSlice(values.map { UInt8(bitPattern: $0) })])
  }

  @Test func aLayerIsThreeTensors() throws {
    let base = MemorySource(
      location: "test", [("a.weight", Self.linear), ("a.bias", counting([3]))])
    let split = SplitSource(base, split: ComfyUIQuantization.pieces)
    #expect(split.names == ["a.weight", "a.weight_scale", "a.comfy_quant", "a.bias"])
    #expect(split.entry("a.weight") == TensorEntry(shape: [3, 2], encoding: .plain(.i8)))
    // A flat [out] does not load.
    #expect(split.entry("a.weight_scale") == TensorEntry(shape: [3, 1], encoding: .plain(.f32)))
    #expect(try split.tensor("a.weight_scale").floats() == [1, 0.25, 3])
    let text = try split.tensor("a.comfy_quant").parts[0].array
    let description = try JSONValue(parsing: ByteSlice(text).bytes)
    #expect(description == ["format": "int8_tensorwise"])

    let whole = try #require(try profile.restored([:], split, path: "f")).weights
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
  }

  @Test func aSingleScaleServesEveryRow() throws {
    let source = layer(
      #"{"format": "int8_tensorwise", "full_precision_matrix_mult": true}"#,
      codes: codes([1, -2, 3, 4], [2, 2]), scales: StoredTensor(shape: [], floats: [0.5]))
    #expect(try joined(source).tensor("a.weight").floats() == [0.5, -1, 1.5, 2])
    #expect(try joined(source).entry("a.weight")?.encoding == .int8)
  }

  @Test func scaledFloat8IsMultipliedOut() throws {
    // 0x38 is 1, 0x40 is 2, 0xB0 is -0.5 in float8_e4m3fn.
    let codes = StoredTensor(
      shape: [2, 2], encoding: .plain(.f8e4m3),
      parts: [ByteSlice([0x38, 0x40, 0xB0, 0] as [UInt8])])
    let source = layer(
      #"{"format": "float8_e4m3fn"}"#, codes: codes,
      scales: StoredTensor(shape: [], floats: [0.25]))
    let tensor = try joined(source).tensor("a.weight")
    #expect(tensor.entry == (try joined(source).entry("a.weight")))
    #expect(tensor.floats() == [0.25, 0.5, -0.125, 0])
  }

  /// The definition: W multiplied by the Kronecker power, row by row of the matrix.
  private func product(_ row: [Float], size: Int) -> [Float] {
    let base: [[Float]] = [[1, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]]
    func entry(_ i: Int, _ j: Int) -> Float {
      var (i, j, size, value) = (i, j, size, Float(1))
      while size > 1 {
        value *= base[i % 4][j % 4] / 2
        (i, j, size) = (i / 4, j / 4, size / 4)
      }
      return value
    }
    return row.indices.map { column in
      let start = column / size * size
      return (0..<size).reduce(0) { $0 + row[start + $1] * entry($1, column - start) }
    }
  }

  @Test(arguments: [4, 16])
  func rotatedWeightsAreRotatedBack(size: Int) throws {
    let values = (0..<64).map { Int8(($0 * 37) % 101 - 50) }
    let source = layer(
      #"{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": \#(size)}"#,
      codes: codes(values, [2, 32]), scales: StoredTensor(shape: [2, 1], floats: [1, 2]))
    let rows = [values[..<32].map(Float.init), values[32...].map { 2 * Float($0) }]
    #expect(try joined(source).tensor("a.weight").floats() == rows.flatMap { product($0, size: size) })
    var twice = rows[0]
    ComfyUIQuantization.rotate(&twice, groupSize: size)
    ComfyUIQuantization.rotate(&twice, groupSize: size)
    #expect(twice == rows[0])
  }

  @Test(arguments: [
    ("{}", "'format' null, expected 'format' 'int8_tensorwise' or 'float8_e4m3fn'"),
    (#"{"format": "nvfp4"}"#, #"'format' "nvfp4", expected "#),
    ("[", "not a JSON object"),
    (
      #"{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 8}"#,
      "'convrot_groupsize' 8, expected a power of 4"
    ),
    (
      #"{"format": "int8_tensorwise", "convrot": true, "convrot_groupsize": 16}"#,
      "rotated groups of 16 weights, which do not divide rows of 2"
    ),
    (#"{"format": "float8_e4m3fn"}"#, "i8 [2, 2], expected F8_E4M3 [out, in]"),
  ])
  func otherFormsAreNamed(format: String, found: String) throws {
    let source = layer(
      format, codes: codes([1, 2, 3, 4], [2, 2]), scales: StoredTensor(shape: [2, 1], floats: [1, 1]))
    let error = #expect(throws: WeightError.self) { try joined(source) }
    #expect(error?.description.contains(found) == true, "\(error?.description ?? "")")
  }

  @Test func aLayerWithoutItsScaleIsNamed() throws {
    let source = MemorySource(
      location: "test",
      [("a.weight", codes([1], [1, 1])), ("a.comfy_quant", bytes(#"{"format": "int8_tensorwise"}"#))])
    let error = #expect(throws: WeightError.self) { try joined(source) }
    #expect(error?.tensor == "a.weight_scale")
    let none = MemorySource(location: "test", [("a.weight", counting([2, 2]))])
    #expect(try profile.restored([:], none, path: "f") == nil)
  }
}

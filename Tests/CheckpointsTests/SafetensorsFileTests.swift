import Checkpoints
import Support
import Tensors
import TestSupport
import Testing

struct SafetensorsFileTests {
  let kinds: SafetensorsFile
  let widened: SafetensorsFile

  init() throws {
    kinds = try SafetensorsFile(path: fixture("safetensors/kinds.safetensors"))
    widened = try SafetensorsFile(path: fixture("safetensors/widened.safetensors"))
  }

  @Test func listsEveryKindThatTorchWrites() {
    let expected: [String: (ElementKind, [Int])] = [
      "bool": (.bool, [3]), "u8": (.u8, [256]), "i8": (.i8, [256]), "f8_e4m3": (.f8e4m3, [256]),
      "f8_e5m2": (.f8e5m2, [256]), "f8_e4m3fnuz": (.f8e4m3fnuz, [256]),
      "f8_e5m2fnuz": (.f8e5m2fnuz, [256]), "f8_e8m0": (.f8e8m0, [256]), "i16": (.i16, [5]),
      "u16": (.u16, [3]), "f16": (.f16, [11]), "bf16": (.bf16, [11]), "i32": (.i32, [4]),
      "u32": (.u32, [3]), "f32": (.f32, [7]), "c64": (.c64, [2]), "f64": (.f64, [4]),
      "i64": (.i64, [4]), "u64": (.u64, [3]), "f4": (.f4, [2, 4]), "scalar": (.f32, []),
      "empty": (.f32, [0, 3]), "matrix": (.f32, [2, 3]),
    ]
    #expect(Set(kinds.names) == Set(expected.keys))
    for (name, (kind, extents)) in expected {
      #expect(
        kinds.entry(name) == TensorEntry(shape: Shape(extents), encoding: .plain(kind)), "\(name)")
    }
  }

  @Test func namesComeInTheOrderOfTheirBytes() {
    #expect(
      kinds.names == [
        "u64", "i64", "f64", "c64", "empty", "f32", "matrix", "scalar", "u32", "i32", "bf16",
        "f16", "u16", "i16", "f8_e5m2fnuz", "f8_e4m3fnuz", "f8_e8m0", "f8_e4m3", "f8_e5m2", "i8",
        "u8", "f4", "bool",
      ])
  }

  /// All codes of the 8-bit kinds, and edge cases of the others.
  @Test func widensAsTorchDoes() throws {
    func canonical(_ values: [Float]) -> [UInt32] {
      values.map { $0.isNaN ? 0x7fc0_0000 : $0.bitPattern }
    }
    for name in widened.names {
      #expect(
        try canonical(kinds.tensor(name).floats()) == canonical(widened.tensor(name).floats()),
        "\(name)")
    }
    #expect(widened.names.count == 21)
  }

  @Test func narrowsAsTorchDoes() throws {
    let file = try SafetensorsFile(path: fixture("safetensors/narrowed.safetensors"))
    let numbers = try file.tensor("f32").floats()
    for (name, kind) in [("f16", ElementKind.f16), ("bf16", .bf16)] {
      let narrowed = StoredTensor(shape: [numbers.count], floats: numbers, as: kind)
      #expect(try narrowed.parts[0].array == file.tensor(name).parts[0].array, "\(name)")
    }
  }

  @Test func exposesMetadata() throws {
    #expect(kinds.metadata == ["format": "pt", "note": "über \"quotes\"\n"])
    #expect(widened.metadata == [:])
  }

  @Test func tensorsAreUsedInPlace() throws {
    #expect(try kinds.tensor("f4").parts[0].array == [0x10, 0x32, 0x54, 0x76])
    #expect(try kinds.tensor("matrix").floats() == [0, 1, 2, 3, 4, 5])
    #expect(try kinds.tensor("scalar").floats() == [2.5])
    #expect(try kinds.tensor("empty").floats() == [])
    #expect(try kinds.tensor("u64").parts[0].alignmentOffset % 8 == 0)
  }

  @Test func missingTensorsAreNamed() {
    #expect(kinds.entry("absent") == nil)
    #expect(
      message { _ = try kinds.tensor("absent") }
        == "\(kinds.path): tensor 'absent': no tensor has this name")
    #expect(kinds.location == fixture("safetensors/kinds.safetensors"))
  }

  @Test func filesWithoutTensorsAreRead() throws {
    for header in ["{}", "{}     ", #"{"__metadata__":{}}"#] {
      let file = try SafetensorsFile(ByteSlice(safetensors(header)), path: "f")
      #expect(file.names == [] && file.metadata == [:])
    }
  }

  /// Members have any order, and tensors without elements may share an offset.
  @Test func readsWhatTheFormatAllows() throws {
    let header = """
      {"b":{"data_offsets":[4,6],"shape":[1,1],"dtype":"F16"},
       "e":{"dtype":"I64","shape":[0,7],"data_offsets":[4,4]},
       "a":{"shape":[],"dtype":"F32","data_offsets":[0,4]},
       "g":{"dtype":"F4","shape":[2,0],"data_offsets":[6,6]}}
      """
    let file = try SafetensorsFile(ByteSlice(safetensors(header, data: 6)), path: "f")
    #expect(file.names == ["a", "e", "b", "g"])
    #expect(try file.tensor("b").parts[0].array == [4, 5])
  }
}

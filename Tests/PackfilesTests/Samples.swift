import Foundation
import ModelSources
import Packfiles
import Support
import Tensors

/// A reproducible random generator (SplitMix64).
struct Randoms: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }

  /// An approximately normal number: the sum of twelve uniform numbers, minus its mean.
  mutating func gaussian() -> Float {
    (0..<12).reduce(-6) { sum, _ in sum + Float.random(in: 0..<1, using: &self) }
  }

  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &self) }
  }
}

enum Samples {
  /// A tensor of random bytes.
  static func noise(_ shape: Shape, _ encoding: TensorEncoding, seed: UInt64 = 1) -> StoredTensor {
    var randoms = Randoms(seed: seed)
    let sizes = encoding.partSizes(for: shape) ?? []
    return StoredTensor(
      shape: shape, encoding: encoding, parts: sizes.map { ByteSlice(randoms.bytes($0)) })
  }

  /// A tensor of Gaussian numbers of a floating-point kind.
  static func gaussian(_ shape: Shape, _ kind: ElementKind, seed: UInt64 = 1) -> StoredTensor {
    var randoms = Randoms(seed: seed)
    return StoredTensor(
      shape: shape, floats: (0..<shape.count).map { _ in randoms.gaussian() * 0.03 }, as: kind)
  }

  /// Gaussian numbers as int8 with a scale a row that maps the largest to 127.
  static func int8(_ shape: Shape, seed: UInt64 = 1) -> StoredTensor {
    var randoms = Randoms(seed: seed)
    var codes: [Int8] = []
    var scales: [Float] = []
    for _ in 0..<shape.rows {
      let row = (0..<shape.rowLength).map { _ in randoms.gaussian() }
      let scale = (row.map(abs).max() ?? 0) / 127
      scales.append(scale)
      codes += row.map { Int8(($0 / scale).rounded()) }
    }
    return StoredTensor(
      shape: shape, encoding: .int8, parts: [ByteSlice(codes), ByteSlice(scales)])
  }

  static func model(
    _ tensors: [(String, StoredTensor)], files: [ModelSource.File] = []
  ) -> ModelSource {
    ModelSource(
      location: "memory", layout: "memory",
      index: ["_class_name": "StableDiffusionPipeline"],
      components: [
        ModelSource.Component(
          name: "unet", className: "UNet2DConditionModel",
          config: ["sample_size": 64, "act_fn": "silu", "dropout": 0.5, "mid": nil],
          weights: MemorySource(location: "memory", tensors))
      ],
      scheduler: ["beta_start": 0.00085], files: files,
      provenance: ["tool": "test"])
  }

  /// Tensors of every form (raw, planes, codes, packed, scalar, empty) and small files.
  static var mixed: ModelSource {
    var model = Self.model(
      [
        ("half", gaussian([48, 48], .f16)), ("codes", int8([2, 2500])),
        ("bias", gaussian([21], .f32)),
        ("packed", noise([3, 5], .symmetric(bits: 4, groupSize: 2))),
        ("scalar", noise([], .plain(.i64))), ("empty", noise([0, 4], .plain(.bf16))),
      ],
      files: [file("tokenizer/merges.txt", "low er</w>\n"), file("notes", "")])
    model.components.append(
      ModelSource.Component(
        name: "vae", className: "AutoencoderKL", config: [:],
        weights: MemorySource(location: "memory", [("bias", gaussian([7], .bf16))])))
    return model
  }

  static func file(_ path: String, _ text: String) -> ModelSource.File {
    ModelSource.File(path: path, bytes: ByteSlice([UInt8](text.utf8)))
  }
}

/// Writes `model` to `folder`, records `parity` in the file, and opens it.
func written(
  _ model: ModelSource, in folder: String, codes: Bool? = nil, parity: JSONObject? = nil
) throws -> PackfileReader {
  let path = folder + "/model.decant"
  let options = WriteOptions(codes: codes)
  try PackfileWriter().write(model, to: path, replacing: true, options: options) { _, _ in }
  if let parity { try Packfile.record(parity: parity, in: path) { _, _ in } }
  return try PackfileReader(path: path)
}

/// Every tensor's parts, by component and name.
func contents(of model: ModelSource) throws -> [String: [[UInt8]]] {
  var contents: [String: [[UInt8]]] = [:]
  for component in model.components {
    for name in component.weights.names {
      contents["\(component.name)/\(name)"] = try component.weights.tensor(name).parts.map(\.array)
    }
  }
  return contents
}

/// The names in `folder`, including hidden files.
func entries(of folder: String) -> [String]? {
  try? FileManager.default.contentsOfDirectory(atPath: folder)
}

extension Codec {
  /// The encoded chunk.
  func encode(_ bytes: [UInt8], as content: ChunkContent) -> [UInt8]? {
    encode(bytes, counts: ByteSlice(bytes).byteCounts(planes: 1), as: content)
  }
}

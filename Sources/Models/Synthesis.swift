package import ModelSources
internal import Support
package import Tensors

/// Random weights for a list of modules, generated one tensor at a time on demand.
///
/// They allow measurements of size, memory and time at full size without a download. Values depend
/// only on the seed and the tensor's name, not on the order of access. Matrices are scaled by their
/// number of inputs and norms lie around 1, so that activations neither vanish nor explode and
/// comparisons with other implementations are meaningful.
package struct RandomWeights: WeightSource {
  package let location: String
  package let names: [String]
  private let modules: [String: (module: ModuleSpec, tensor: TensorSpec)]
  private let kind: ElementKind
  private let seed: UInt64

  /// - Precondition: `kind` is `f32`, `f16` or `bf16`.
  package init(location: String, modules: [ModuleSpec], kind: ElementKind, seed: UInt64) {
    self.location = location
    self.kind = kind
    self.seed = seed
    names = modules.tensors.map(\.name)
    self.modules = Dictionary(
      uniqueKeysWithValues: modules.flatMap { module in
        module.tensors.map { ($0.name, (module, $0)) }
      })
  }

  package func entry(_ name: String) -> TensorEntry? {
    modules[name].map { TensorEntry(shape: $0.tensor.shape, encoding: .plain(kind)) }
  }

  package func tensor(_ name: String) throws -> StoredTensor {
    guard let (module, tensor) = modules[name] else {
      throw absent(name)
    }
    let (center, deviation) = Self.distribution(of: tensor, in: module)
    var generator = NoiseGenerator(seed: seed, name: name)
    return StoredTensor(shape: tensor.shape, as: kind) { run in
      generator.numbers(run.count, center: center, deviation: deviation)
    }
  }

  private static func distribution(
    of tensor: TensorSpec, in module: ModuleSpec
  ) -> (center: Float, deviation: Float) {
    if tensor == module.bias { return (0, 0.02) }
    switch module.kind {
    case .convolution, .linear: return (0, 1 / Float(tensor.shape.rowLength).squareRoot())
    case .groupNorm, .layerNorm: return (1, 0.1)
    case .embedding: return (0, 0.02)
    }
  }
}

/// A stream of approximately normal numbers, equal on every machine.
private struct NoiseGenerator {
  private var state: UInt64

  init(seed: UInt64, name: String) {
    // The hash of the name gives each tensor a separate stream.
    state = seed &* 0x9e37_79b9_7f4a_7c15 ^ fnv1a(name.utf8)
  }

  /// SplitMix64 (Steele, Lea and Flood 2014).
  private mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
    return z ^ z >> 31
  }

  mutating func numbers(_ count: Int, center: Float, deviation: Float) -> [Float] {
    let scale = deviation / UniformSum.deviation
    var numbers = [Float](repeating: center, count: count)
    for index in numbers.indices {
      numbers[index] += UniformSum.centered(next()) * scale
    }
    return numbers
  }
}

extension Family {
  /// A full-size model of the family with random weights; `nil` where the family is open.
  ///
  /// - Parameter kind: `f32`, `f16` or `bf16`.
  package func synthesize(
    seed: UInt64, kind: ElementKind
  ) throws(ConfigError) -> ModelSource? {
    guard let template else { return nil }
    let location = "\(name) (random)"
    let configs = try template.configs(location: location)
    let components = template.components.map { component in
      ModelSource.Component(
        name: component.name, className: component.className, config: component.config,
        weights: RandomWeights(
          location: "\(location)/\(component.name)", modules: configs.modules(of: component.name),
          kind: kind, seed: seed))
    }
    return ModelSource(
      location: location, layout: "random weights", index: template.index,
      components: components, scheduler: template.scheduler,
      files: template.files.map { file in
        ModelSource.File(path: file.path, bytes: ByteSlice([UInt8](file.text.utf8)))
      }.sorted { $0.path < $1.path },
      provenance: [
        "synthesized": ["family": .string(name), "seed": .string(String(seed))]
      ])
  }
}

import Checkpoints
import ModelSources
import Models
import Sampling
import Support
import Tensors
import TestSupport
import Verification

/// The random pipeline of a few thousand weights of the sampler's golden values.
func smallModel() throws -> Model {
  try Model.bind(try Readers.all.read(fixture("golden/pipeline")))
}

/// A source whose numbers are changed, in float32.
struct ChangedSource: WeightSource {
  let base: any WeightSource
  /// The factor of a number of a tensor, by the tensor's name and the number's index.
  let factor: @Sendable (_ name: String, _ index: Int) -> Float

  var location: String { base.location }
  var names: [String] { base.names }
  func entry(_ name: String) -> TensorEntry? {
    base.entry(name).map { TensorEntry(shape: $0.shape, encoding: .plain(.f32)) }
  }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    let values = tensor.floats().enumerated().map { $1 * factor(name, $0) }
    return StoredTensor(shape: tensor.shape, floats: values)
  }
}

extension Model {
  /// The model with all numbers of the U-Net scaled.
  func scaled(by factor: Float) throws -> Model {
    try changing("unet") { _, _ in factor }
  }

  /// The model with the weights of one component scaled by `1 + share` and `1 - share` in turn.
  func moved(_ component: String = "unet", by share: Float) throws -> Model {
    try changing(component) { name, index in
      name.hasSuffix("weight") ? 1 + (index % 2 == 0 ? share : -share) : 1
    }
  }

  private func changing(
    _ component: String, factor: @escaping @Sendable (String, Int) -> Float
  ) throws -> Model {
    var source = source
    if var found = source[component] {
      found.weights = ChangedSource(base: found.weights, factor: factor)
      source[component] = found
    }
    return try Model.bind(source)
  }
}

func verifier(
  _ thresholds: VerificationThresholds = VerificationThresholds(), images: Int? = nil,
  guidanceScale: Double = 3, otherSizes: [ImageSize] = []
) -> Verifier {
  Verifier(
    settings: VerificationSettings(
      prompts: ["a red circle", "two <b>squares</b> & \"more\""].map { Prompt($0) },
      seeds: [7], images: images, steps: 4, guidanceScale: guidanceScale, otherSizes: otherSizes,
      blockSteps: 2),
    thresholds: thresholds, tool: "decant test", machine: "a machine")
}

/// The trained miniature, whose cross-attention dimension differs.
func miniature() throws -> ModelSource { try Readers.all.read(fixture("mini-sd")) }

/// The trained miniature of SDXL.
func miniatureXL() throws -> ModelSource { try Readers.all.read(fixture("mini-sdxl")) }

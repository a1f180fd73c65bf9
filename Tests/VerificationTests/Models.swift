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

/// A source all of whose numbers are scaled.
struct ScaledSource: WeightSource {
  let base: any WeightSource
  let factor: Float

  var location: String { base.location }
  var names: [String] { base.names }
  func entry(_ name: String) -> TensorEntry? {
    base.entry(name).map { TensorEntry(shape: $0.shape, encoding: .plain(.f32)) }
  }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    return StoredTensor(shape: tensor.shape, floats: tensor.floats().map { $0 * factor })
  }
}

/// A source whose weights are scaled by `1 + share` and `1 - share` in turn.
struct MovedSource: WeightSource {
  let base: any WeightSource
  let share: Float

  var location: String { base.location }
  var names: [String] { base.names }
  func entry(_ name: String) -> TensorEntry? {
    base.entry(name).map { TensorEntry(shape: $0.shape, encoding: .plain(.f32)) }
  }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    guard name.hasSuffix("weight") else {
      return StoredTensor(shape: tensor.shape, floats: tensor.floats())
    }
    let values = tensor.floats().enumerated().map { index, value in
      value * (1 + (index % 2 == 0 ? share : -share))
    }
    return StoredTensor(shape: tensor.shape, floats: values)
  }
}

extension Model {
  /// The model with all numbers of the U-Net scaled.
  func scaled(by factor: Float) throws -> Model {
    var source = source
    if var found = source["unet"] {
      found.weights = ScaledSource(base: found.weights, factor: factor)
      source["unet"] = found
    }
    return try Model.bind(source)
  }

  /// The model with the weights of one component scaled as by ``MovedSource``.
  func moved(_ component: String = "unet", by share: Float) throws -> Model {
    var source = source
    if var found = source[component] {
      found.weights = MovedSource(base: found.weights, share: share)
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

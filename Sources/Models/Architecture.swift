internal import ModelSources
package import Support

/// An architecture that families share: how the parts of a pipeline work together, which no
/// component's config says.
///
/// A line is one file in `Families/`, beside the families of it.
package struct Architecture: Sendable {
  /// What a text encoder hands to the U-Net.
  package enum TextStates: Sendable {
    /// The last hidden states, after the final norm.
    case last
    /// The states before the last layer, without the norm; those of several encoders side by side.
    case penultimate
  }

  /// The numbers beside the pooled text.
  package enum TimeIDs: Sendable {
    /// Original height and width, crop's top and left, target height and width.
    case sizes
    /// Original height and width, crop's top and left, an aesthetic score.
    case sizesAndScore
  }

  package let name: String
  /// diffusers' class of pipeline, where a model does not say.
  package let pipelineClass: String
  package let textStates: TextStates
  /// `nil` for lines without an added embedding.
  package let timeIDs: TimeIDs?
  /// The scheduler config of models that come without one.
  package let scheduler: JSONObject
  /// Whether the pipeline's constructor sets `steps_offset` to 1 and `clip_sample` to false, as
  /// `StableDiffusionPipeline`'s does.
  package let correctsSchedulers: Bool
  /// Whether the autoencoder overflows in float16, so that its weights are kept wider.
  package let needsFloat32VAE: Bool
}

extension Model {
  /// What is wrong with the pipeline that the index names, in one sentence, where it is one of
  /// another architecture: programs that go by the index will not load such a model.
  package var indexDoubt: String? {
    let extraLarge = "StableDiffusionXL"
    guard let name = source.index["_class_name"]?.string, name.hasPrefix("StableDiffusion"),
      name.hasPrefix(extraLarge) != family.architecture.pipelineClass.hasPrefix(extraLarge)
    else { return nil }
    return "the index says '\(shown(name))', but these components make a "
      + family.architecture.pipelineClass
  }

  /// Whether a component's weights shall not be narrowed to float16, because its activations would
  /// overflow there in programs that compute as weights are stored. An autoencoder that was mended
  /// says so itself (`force_upcast` false).
  package func overflowsHalf(_ component: String) -> Bool {
    component == ComponentName.vae && family.architecture.needsFloat32VAE && vae.forceUpcast
  }
}

import Formats
import ModelSources

/// The facts of the diffusers folder layout that reader and writer share.
///
///     decant.json                           provenance, where Decant wrote the folder
///     model_index.json                      component: [library, class]; [null, null] is absent
///     unet/config.json                      and diffusion_pytorch_model.safetensors, or .bin
///     vae/config.json                       and diffusion_pytorch_model.safetensors
///     text_encoder/config.json              and model.safetensors, or pytorch_model.bin
///     scheduler/scheduler_config.json
///     tokenizer/                            vocab.json and merges.txt, or tokenizer.json
enum DiffusersLayout {
  static let name = "diffusers folder"
  static let indexFile = "model_index.json"
  static let configFile = "config.json"
  static let scheduler = "scheduler"
  static let schedulerFile = "scheduler/scheduler_config.json"
  /// What Decant knows of where a model that it wrote came from; diffusers passes it over.
  static let provenanceFile = "decant.json"

  /// A part of a pipeline that has weights.
  struct ComponentKind: Sendable {
    /// Its folder, and its member of the index.
    let name: String
    let library: String
    /// File names of its weights without variant, shard and extension.
    let stem: String
    /// The same for pickled weights.
    let pickleStem: String
    let rules: [KeyRule]
    /// Components of which a model needs one of those that share the role.
    let role: String
    /// Classes whose configs, in a folder of their own, are of this component.
    let classes: [String]
  }

  static let components: [ComponentKind] = [
    ComponentKind(
      name: ComponentName.textEncoder, library: "transformers", stem: "model",
      pickleStem: "pytorch_model",
      rules: DiffusersKeys.textEncoder, role: "text encoder", classes: ["CLIPTextModel"]),
    ComponentKind(
      name: ComponentName.textEncoder2, library: "transformers", stem: "model",
      pickleStem: "pytorch_model",
      rules: DiffusersKeys.textEncoder, role: "text encoder",
      classes: ["CLIPTextModelWithProjection"]),
    ComponentKind(
      name: ComponentName.unet, library: "diffusers", stem: "diffusion_pytorch_model",
      pickleStem: "diffusion_pytorch_model", rules: [], role: ComponentName.unet,
      classes: ["UNet2DConditionModel"]),
    ComponentKind(
      name: ComponentName.vae, library: "diffusers", stem: "diffusion_pytorch_model",
      pickleStem: "diffusion_pytorch_model", rules: DiffusersKeys.autoencoder,
      role: ComponentName.vae,
      classes: ["AutoencoderKL"]),
  ]

  /// What names of files of weights begin with.
  static let weightStems = Set(components.flatMap { [$0.stem, $0.pickleStem] })

  /// Files of a tokenizer that belong to the model, in the order in which they are listed.
  static let tokenizerFiles = [
    "added_tokens.json", "merges.txt", "special_tokens_map.json", "tokenizer.json",
    "tokenizer_config.json", "vocab.json",
  ]
  /// A tokenizer is whole when it has all files of one of these rows.
  static let tokenizerForms = [["vocab.json", "merges.txt"], ["tokenizer.json"]]

  /// Parts of a pipeline of Stable Diffusion 1 that Decant neither keeps nor writes: listed as
  /// absent where a model comes without an index.
  static let absentParts = ["feature_extractor", "safety_checker"]

  /// Whether the pipeline insists on its safety checker.
  static let safetyMember = "requires_safety_checker"
}

import Formats
import ModelSources

/// The diffusers folder layout: names of files and components that reader and writer share.
///
///     decant.json                           provenance, in folders that Decant wrote
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
  /// The provenance of a model that Decant wrote. diffusers ignores the file.
  static let provenanceFile = "decant.json"

  /// A component of a pipeline that has weights.
  struct ComponentKind: Sendable {
    /// The name of its folder and of its member in the index.
    let name: String
    let library: String
    /// The name of its weight files without variant, shard number and extension.
    let stem: String
    /// The same for pickled weights.
    let pickleStem: String
    let rules: [KeyRule]
    /// The kind by which its tensors are found below an unknown prefix.
    let group: SingleFileKeys.Group
    /// The role. A model needs at least one component of each role.
    let role: String
    /// The classes that identify the component in a folder without an index.
    let classes: [String]
  }

  static let components: [ComponentKind] = [
    ComponentKind(
      name: ComponentName.textEncoder, library: "transformers", stem: "model",
      pickleStem: "pytorch_model",
      rules: DiffusersKeys.textEncoder, group: .text, role: "text encoder",
      classes: ["CLIPTextModel"]),
    ComponentKind(
      name: ComponentName.textEncoder2, library: "transformers", stem: "model",
      pickleStem: "pytorch_model",
      rules: DiffusersKeys.textEncoder, group: .text, role: "text encoder",
      classes: ["CLIPTextModelWithProjection"]),
    ComponentKind(
      name: ComponentName.unet, library: "diffusers", stem: "diffusion_pytorch_model",
      pickleStem: "diffusion_pytorch_model", rules: [], group: .unet, role: ComponentName.unet,
      classes: ["UNet2DConditionModel"]),
    ComponentKind(
      name: ComponentName.vae, library: "diffusers", stem: "diffusion_pytorch_model",
      pickleStem: "diffusion_pytorch_model", rules: DiffusersKeys.autoencoder, group: .vae,
      role: ComponentName.vae,
      classes: ["AutoencoderKL"]),
  ]

  /// The beginnings of the names of weight files.
  static let weightStems = Set(components.flatMap { [$0.stem, $0.pickleStem] })

  /// The files of a tokenizer that belong to the model, in the order in which they are read.
  static let tokenizerFiles = [
    "added_tokens.json", "merges.txt", "special_tokens_map.json", "tokenizer.json",
    "tokenizer_config.json", "vocab.json",
  ]
  /// A complete tokenizer has all files of one of these lists.
  static let tokenizerForms = [["vocab.json", "merges.txt"], ["tokenizer.json"]]

  /// Components of Stable Diffusion 1 pipelines that Decant does not write. An index that Decant
  /// creates lists them as absent.
  static let absentParts = ["feature_extractor", "safety_checker"]

  /// The member of a component's config that describes quantized weights, for every quantization
  /// back end of diffusers.
  static let quantizationMember = "quantization_config"

  /// The member of the index that states whether the pipeline needs its safety checker.
  static let safetyMember = "requires_safety_checker"
}

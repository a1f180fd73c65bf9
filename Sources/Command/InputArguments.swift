internal import ArgumentParser
internal import Workflow

/// The help of MODEL.
let modelHelp = ArgumentHelp("A \(modelDescription)")

/// What a model can be, and how it is recognized.
let modelDescription =
  "diffusers folder, or a file: .decant, .safetensors, .ckpt, .pt, .bin or .gguf. Decant recognizes "
  + "it by its contents."

/// How a model is read.
struct ReadArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp("Read this variant of a diffusers folder, such as fp16.", valueName: "name"))
  var variant: String?

  @Flag(
    help: """
      Read the moving average (EMA) of the U-Net's weights instead of the plain ones, from a \
      single file that holds it.
      """)
  var ema = false

  @Option(
    help: ArgumentHelp(
      "What the U-Net predicts, instead of what the model states: "
        + "\(predictionNames.joined(separator: ", ")).",
      valueName: "type"),
    completion: .list(predictionNames))
  var prediction: String?

  @Flag(help: "Accept weights that are NaN or infinite.")
  var allowNonfinite = false

  /// Names of the options that are given.
  var given: [String] {
    [
      ("--variant", variant != nil), ("--ema", ema), ("--prediction", prediction != nil),
      ("--allow-nonfinite", allowNonfinite),
    ].filter(\.1).map(\.0)
  }

  var value: InputOptions {
    InputOptions(
      variant: variant, ema: ema, prediction: prediction, allowsNonfinite: allowNonfinite)
  }
}

/// How a model is read, and what replaces or changes its components.
struct InputArguments: ParsableArguments {
  @OptionGroup var read: ReadArguments

  @Option(
    help: ArgumentHelp(
      """
      Merge a LoRA, DoRA, LoHa or LoKr with this scale (default: 1): a file, or a folder that \
      diffusers or PEFT saved. Can be repeated.
      """, valueName: "file[:scale]"),
    completion: .file())
  var lora: [AdapterArgument] = []

  @Flag(help: "Ignore modules of --lora that the model does not have.")
  var allowUnused = false

  @Option(
    help: ArgumentHelp("Take the U-Net from this model or component.", valueName: "model"),
    completion: .file())
  var unet: String?

  @Option(
    help: ArgumentHelp("Take the VAE from this model or component.", valueName: "model"),
    completion: .file())
  var vae: String?

  @Option(
    help: ArgumentHelp("Take the text encoder from this model or component.", valueName: "model"),
    completion: .file())
  var textEncoder: String?

  @Option(
    name: .customLong("text-encoder-2"),
    help: ArgumentHelp(
      "Take the second text encoder from this model or component.", valueName: "model"),
    completion: .file())
  var textEncoder2: String?

  /// Names of the options that are given.
  var given: [String] {
    read.given
      + [
        ("--lora", !lora.isEmpty), ("--allow-unused", allowUnused), ("--unet", unet != nil),
        ("--vae", vae != nil), ("--text-encoder", textEncoder != nil),
        ("--text-encoder-2", textEncoder2 != nil),
      ].filter(\.1).map(\.0)
  }

  /// Names of the options that are given, without those that have no effect on a component.
  ///
  /// Options that replace components stay: a folder that lacks a component is not read without
  /// them.
  func given(for part: ModelPart) -> [String] {
    var idle: Set<String> = part == .unet ? [] : ["--ema", "--prediction"]
    if part == .vae { idle.formUnion(["--lora", "--allow-unused"]) }
    return given.filter { !idle.contains($0) }
  }

  var value: InputOptions {
    var options = read.value
    options.composition = Composition(
      unet: unet, vae: vae, textEncoder: textEncoder, textEncoder2: textEncoder2,
      adapters: lora.map(\.value), allowsUnused: allowUnused)
    return options
  }
}

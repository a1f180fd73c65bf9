import Testing

/// A reader of files, with valid files to change and the command that reads them.
struct Reader: Sendable, CustomTestStringConvertible {
  /// The text or the bytes of a file, or the path of a valid file in `Fixtures`, or in the folder of
  /// the run.
  enum Seed: Sendable {
    case fixture(String)
    case made(String)
    case text(String)
    case bytes([UInt8])
  }

  let name: String
  /// The files to change, each with the path that the changed file gets in the folder of the run.
  let seeds: [(seed: Seed, path: String)]
  /// The command that reads the changed file.
  let command: [String]
  /// Commands that make files first, from `model`, a valid model.
  var preparations: [[String]] = []
  /// Valid files that the command reads beside the changed one.
  var files: [(seed: Seed, path: String)] = []
  /// The part of a file behind its checksums; `nil` where the whole file is changed.
  var part: (@Sendable ([UInt8]) -> Checksums.Part?)?

  var testDescription: String { name }

  static let all = [
    safetensors, calibration, gguf, kQuants, pickle, decant, sdnq, shards, config, tokenizer, image,
    prompts, adapters, adapterFacts, latents, inputs, inputIDs,
  ]

  private static func files(_ folder: String, _ names: [String], as path: String)
    -> [(seed: Seed, path: String)]
  {
    names.map { (.fixture(folder + "/" + $0), path) }
  }

  private static func members(_ names: [String]) -> [(seed: Seed, path: String)] {
    names.map { (.fixture("golden/pipeline/" + $0), "model/" + $0) }
  }

  private static let inspection = ["inspect", "--check", "--tensors"]
  private static let generation = [
    "generate", "model", "-p", "a b", "-o", "out.png", "--force", "--steps", "1", "-W", "16", "-H",
    "16",
  ]

  static let safetensors = Reader(
    name: "safetensors",
    seeds: files("safetensors", ["kinds.safetensors", "small.safetensors"], as: "a.safetensors")
      + [
        (.made("made.safetensors"), "a.safetensors"),
        (.made("vae.safetensors"), "a.safetensors"),
      ],
    command: inspection + ["a.safetensors"],
    preparations: [
      ["convert", "model", "-o", "made.safetensors", "--type", "f16"],
      ["extract", "model", "--component", "vae", "-o", "vae.safetensors"],
    ], part: Checksums.safetensorsHeader)

  static let calibration = Reader(
    name: "calibration", seeds: [(.made("made.calibration"), "a.calibration")],
    command: [
      "quantize", "model", "-o", "out.decant", "--force", "--type", "int8", "--calibration",
      "a.calibration",
    ],
    preparations: [
      [
        "calibrate", "model", "-o", "made.calibration", "--steps", "1", "--prompt-limit", "1",
        "--size", "16x16",
      ]
    ], part: Checksums.safetensorsHeader)

  static let gguf = Reader(
    name: "gguf",
    seeds: [(.fixture("gguf/types.gguf"), "a.gguf"), (.made("made.gguf"), "a.gguf")],
    command: inspection + ["a.gguf"],
    preparations: [
      ["convert", "model", "-o", "made.gguf", "--for", "comfyui", "--type", "f16"]
    ])

  static let pickle = Reader(
    name: "pickle",
    seeds: files(
      "torch",
      [
        "kinds.pt", "kinds-legacy.pt", "lightning.ckpt", "nested.pt", "protocol4.pt", "views.pt",
        "views-legacy.pt",
      ], as: "a.ckpt"),
    command: inspection + ["a.ckpt"], part: Checksums.pickle)

  static let decant = Reader(
    name: "decant",
    seeds: files(
      "packfiles", ["blocks.decant", "huffman.decant", "kinds.decant", "scaled.decant"],
      as: "a.decant") + [(.made("made.decant"), "a.decant")],
    command: inspection + ["a.decant"],
    preparations: [["convert", "model", "-o", "made.decant", "--type", "f16"]],
    part: Checksums.manifest)

  static let shards = Reader(
    name: "shards",
    seeds: [
      (
        .made("sharded/unet/diffusion_pytorch_model.safetensors.index.json"),
        "sharded/unet/diffusion_pytorch_model.safetensors.index.json"
      )
    ],
    command: inspection + ["sharded"],
    preparations: [["convert", "model", "-o", "sharded/", "--max-shard-size", "100KB"]])

  static let config = Reader(
    name: "config",
    seeds: members([
      "model_index.json", "unet/config.json", "vae/config.json", "text_encoder/config.json",
      "scheduler/scheduler_config.json",
    ]), command: generation)

  static let tokenizer = Reader(
    name: "tokenizer",
    seeds: members([
      "tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/special_tokens_map.json",
      "tokenizer/tokenizer_config.json",
    ]) + [
      (.text(#"{"<x>": 3, "<y>": 4}"#), "model/tokenizer/added_tokens.json"),
      (
        .text(
          #"{"added_tokens": [{"id": 3, "content": "a", "special": true}], "model": {"type": "#
            + #""BPE", "vocab": {"a": 0, "b</w>": 1, "ab</w>": 2, "<|startoftext|>": 3, "#
            + #""<|endoftext|>": 4}, "merges": ["a b</w>"]}}"#), "model/tokenizer/tokenizer.json"
      ),
    ], command: generation)

  static let image = Reader(
    name: "image",
    seeds: [
      (.fixture("golden/pipeline-picture.png"), "a.png"),
      (.fixture("golden/pipeline-large.png"), "a.png"), (.made("made.png"), "a.png"),
    ],
    command: generation + ["--init-image", "a.png", "--strength", "1"],
    preparations: [
      ["generate", "model", "-p", "é", "-o", "made.png", "--steps", "1", "-W", "16", "-H", "16"]
    ], part: Checksums.chunks)

  static let prompts = Reader(
    name: "prompts",
    seeds: [
      (.fixture("mini-sd/calibration.txt"), "prompts.txt"),
      (.text(#"["a cat", "a dog\n", "a\tb"]"#), "prompts.txt"),
    ],
    command: [
      "calibrate", "model", "-o", "out.calibration", "--force", "--prompts", "prompts.txt",
      "--prompt-limit", "1", "--steps", "1", "--size", "16x16",
    ])

  /// LoRA in K-quants, whose numbers are read to be merged.
  static let kQuants = Reader(
    name: "k-quants", seeds: [(.bytes(SmallFiles.kQuants), "a.gguf")],
    command: merging + ["--lora", "a.gguf"])

  /// A folder with int4 and int8 weights in groups.
  static let sdnq = Reader(
    name: "sdnq",
    seeds: ["sdnq/unet/config.json", "sdnq/unet/diffusion_pytorch_model.safetensors"]
      .map { (.made($0), $0) },
    command: inspection + ["sdnq"],
    preparations: [
      ["quantize", "model", "-o", "sdnq/", "--type", "int4-g32", "--for", "sdnq"]
    ], part: Checksums.safetensorsHeader)

  private static let merging = [
    "convert", "model", "-o", "out.decant", "--force", "--allow-unused",
  ]

  private static let peft: [(seed: Seed, path: String)] = [
    (.bytes(SmallFiles.peft), "peft/adapter_model.safetensors"),
    (.text(SmallFiles.peftSettings), "peft/adapter_config.json"),
  ]

  /// Adapters that are merged: a file and a folder.
  static let adapters = Reader(
    name: "adapters", seeds: SmallFiles.adapters.map { (.bytes($0), "a.safetensors") } + peft,
    command: merging + ["--lora", "a.safetensors", "--lora", "peft"],
    files: [(.bytes(SmallFiles.adapters[0]), "a.safetensors")] + peft,
    part: Checksums.safetensorsHeader)

  /// The same files, of which only the facts are printed.
  static let adapterFacts = Reader(
    name: "adapter-facts", seeds: SmallFiles.adapters.map { (.bytes($0), "a.safetensors") },
    command: inspection + ["a.safetensors"], part: Checksums.safetensorsHeader)

  static let latents = Reader(
    name: "latents", seeds: [(.made("made.safetensors"), "a.safetensors")],
    command: generation + ["--latents", "a.safetensors"],
    preparations: [generation + ["--save-latents", "made.safetensors"]],
    part: Checksums.safetensorsHeader)

  private static func forward(_ component: String) -> [String] {
    [
      "forward", "model", "--component", component, "--inputs", "a.safetensors", "-o",
      "out.safetensors", "--force",
    ]
  }

  static let inputs = Reader(
    name: "inputs",
    seeds: [
      (
        .bytes(
          SmallFiles.safetensors([
            ("sample", [1, 4, 2, 2]), ("timestep", [1]), ("encoder_hidden_states", [1, 77, 32]),
          ])), "a.safetensors"
      )
    ], command: forward("unet"), part: Checksums.safetensorsHeader)

  static let inputIDs = Reader(
    name: "input-ids",
    seeds: [
      (.bytes(SmallFiles.safetensors([("input_ids", [1, 77])], kind: "I64")), "a.safetensors")
    ], command: forward("text-encoder"), part: Checksums.safetensorsHeader)
}

import Checkpoints
import Foundation
import ModelSources
import Models
import Sampling
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// Every job that writes a model lists what it left out, changed, added or assumed, and a strict one
/// refuses what the user did not ask for.
@Suite struct ChangeTests {
  /// Writes a file without metadata, with the tensors of a model in a single file.
  private func writePlain(
    _ model: ModelSource, with more: [(String, StoredTensor)] = [], to path: String
  ) throws {
    let whole = path + ".tmp.safetensors"
    try CheckpointWriter().write(model, to: whole, replacing: true)
    let file = try SafetensorsFile(path: whole)
    let tensors = try file.names.map { ($0, try file.tensor($0)) }
    try writeSafetensors(MemorySource(location: path, tensors + more), to: path)
  }

  /// A narrow model of a family with a small vocabulary.
  private func narrow(_ family: String) throws -> ModelSource {
    let family = try #require(Family.named(family))
    return try #require(try family.narrowed(kind: .f16, vocabulary: 512))
  }

  private func convert(
    _ model: String, _ reading: InputOptions = InputOptions(), to path: String,
    type: String? = nil, program: String? = nil, isStrict: Bool = false
  ) async throws -> WrittenModel {
    var layout = LayoutRequest(program: program)
    layout.isStrict = isStrict
    return try await ConvertJob(
      model: model, reading: reading,
      output: OutputRequest(path: path, layout: layout, replacing: true), type: type
    ).run()
  }

  private func kinds(_ written: WrittenModel) -> [String] {
    (written.json["changes"]?.array ?? []).map { $0["kind"]?.string ?? "" }
  }

  /// The moving average of one tensor, under the name that training code gives it.
  private static let average: [(String, StoredTensor)] = [
    ("model_ema.diffusion_modelout2bias", StoredTensor(shape: [4], floats: [0, 0, 0, 0]))
  ]

  // MARK: - The list

  @Test func modelsThatChangeInNothingHaveAnEmptyList() async throws {
    try await withTemporaryFolder { folder in
      for name in ["a", "a.decant", "a.safetensors"] {
        let written = try await convert(miniature, to: folder + "/" + name, isStrict: true)
        #expect(written.json["changes"] == [])
        #expect(written.listedChanges.isEmpty)
      }
    }
  }

  /// The beginning of the line of configs whose members tensors do not show.
  private static let assumedConfigs =
    "assumed: members of configs that tensors do not show, because no published model has these sizes "

  /// Strict jobs accept added defaults, and refuse what is assumed of a model of unlisted sizes. The
  /// text encoders of the file have 512 embeddings, and its tokenizers 49,408 tokens.
  @Test func whatTensorsOfUnlistedSizesDoNotShowIsAssumed() async throws {
    try await withTemporaryFolder { folder in
      let file = folder + "/a.safetensors"
      try writePlain(try narrow("sdxl-base-1.0"), to: file)
      let written = try await convert(file, to: folder + "/b")
      #expect(kinds(written) == ["added", "assumed", "added", "added"])
      let texts = written.listedChanges.map(\.text)
      let assumed = try #require(texts.first)
      #expect(assumed.hasPrefix(Self.assumedConfigs + "(sdxl-custom): "), "\(assumed)")
      for fact in ["attention_head_dim ", "num_attention_heads ", "scaling_factor 0.13025"] {
        #expect(assumed.contains(fact), "\(assumed)")
      }
      #expect(
        texts.dropFirst()
          == [
            "added: configs, scheduler and tokenizers of sdxl, which the input does not state",
            "added: text_encoder: no tokenizer of 'text_encoder' was found, and CLIP's has 49408 "
              + "tokens, but 'text_encoder' has 512 embeddings; the model cannot make images",
            "added: text_encoder_2: no tokenizer of 'text_encoder_2' was found, and CLIP's has 49408 "
              + "tokens, but 'text_encoder_2' has 512 embeddings; the model cannot make images",
          ])
      let error = await #expect(throws: JobError.self) {
        try await convert(file, to: folder + "/strict", isStrict: true)
      }
      #expect(
        error?.description
          == "\(file): 1 change to the model was not requested: \(assumed)")
      #expect(
        error?.remedy
          == .either([
            .act("use the model's diffusers folder if there is one"), .leaveOut(.strict),
          ]))
      // The output states them, so that its copy adds nothing. The tokenizer is still not the encoder's.
      let stated = try await convert(folder + "/b", to: folder + "/c")
      #expect(
        stated.listedChanges.map(\.text)
          == ["text_encoder", "text_encoder_2"].map {
            "assumed: \($0): the tokenizer belongs to it, which has token ID 49407, but '\($0)' has 512 "
              + "embeddings; the model cannot make images"
          })
      let inspected = try await InspectJob(
        model: folder + "/b", reading: InputOptions(), listsTensors: false, checks: false
      ).run()
      #expect(inspected.text.contains("assumed: text_encoder_2: the tokenizer belongs to it, "))
      #expect(inspected.suggestions.contains(.act("use the tokenizer of this text encoder")))
      // Single files and .decant files of Decant keep the marks.
      for name in ["c.safetensors", "c.decant"] {
        _ = try await convert(file, to: folder + "/" + name)
        let copy = try await convert("\(folder)/\(name)", to: "\(folder)/of-\(name)/")
        #expect(copy.listedChanges.map(\.text) == texts, "\(name)")
      }
    }
  }

  @Test func requestsAreListedAsSuch() async throws {
    try await withTemporaryFolder { folder in
      let reading = InputOptions(
        prediction: "v_prediction", composition: Composition(parts: [("vae", miniature)]))
      let written = try await convert(
        tiny, reading, to: folder + "/a.gguf", type: "f16", program: "comfyui", isStrict: true)
      let changes = written.json["changes"]?.array ?? []
      #expect(changes.allSatisfy { $0["requested"] == true })
      let texts = written.listedChanges.map(\.text)
      #expect(
        texts.dropLast() == [
          "changed: vae: taken from mini-sd", "changed: unet: predicts v_prediction",
          "changed: all weights become f16",
        ])
      #expect(
        texts.last?.hasSuffix(" loads from files of their own: 'text_encoder', 'vae'") == true,
        "\(texts)")
    }
  }

  @Test func typesThatStayAreListed() async throws {
    try await withTemporaryFolder { folder in
      let file = folder + "/m.safetensors"
      var model = try narrow("sdxl-base-1.0")
      // Its text encoders have fewer embeddings than CLIP's tokenizer has tokens.
      model.files = []
      try CheckpointWriter().write(model, to: file)
      let converted = try await convert(
        file, to: folder + "/a.decant", type: "f16", isStrict: true)
      let kept = "kept: vae: its number types, because it overflows in float16"
      #expect(converted.listedChanges.map(\.text) == ["changed: all weights become f16", kept])
      let outcome = try await QuantizeJob(
        model: file, reading: InputOptions(),
        output: OutputRequest(path: folder + "/b.decant"), isDryRun: false,
        request: QuantizationRequest(type: "int8", method: "round"), calibration: nil
      ).run()
      #expect(outcome.json["changes"]?.array?.map { $0["kind"] } == ["kept"])
    }
  }

  /// A change in JSON has the remedy that the text has, and a dry run lists what a real run would.
  @Test func dryRunsListTheChangesWithTheirRemedies() async throws {
    try await withTemporaryFolder { folder in
      let file = folder + "/a.safetensors"
      try writePlain(try Readers.all.read(tiny), with: Self.average, to: file)
      func outcome(isDryRun: Bool) async throws -> QuantizeOutcome {
        try await QuantizeJob(
          model: file, reading: InputOptions(),
          output: OutputRequest(path: folder + "/b.decant"), isDryRun: isDryRun,
          request: QuantizationRequest(type: "int8", method: "round"), calibration: nil
        ).run()
      }
      let planned = try await outcome(isDryRun: true)
      let changes = planned.json["changes"]?.array ?? []
      #expect(changes.map { $0["kind"] } == ["left_out", "added", "assumed", "added"])
      #expect(
        changes.last?["remedy"]
          == ["action": "take the text encoder from its diffusers folder"])
      guard case .planned(let plan) = planned else {
        Issue.record("the dry run wrote a model")
        return
      }
      #expect(plan.listedChanges.first?.text.hasPrefix("left out: unet: an incomplete") == true)
      #expect(try await outcome(isDryRun: false).json["changes"] == planned.json["changes"])
    }
  }

  /// An unknown prediction type or scheduler stays in the config, which is listed as an assumption.
  @Test func unknownSchedulersAreAssumptions() async throws {
    try await withTemporaryFolder { folder in
      func model(_ edit: (inout ModelSource) -> Void, _ name: String) throws -> String {
        var model = try Readers.all.read(miniature)
        edit(&model)
        try DiffusersFolderWriter().write(model, to: folder + "/" + name)
        return folder + "/" + name
      }
      let flow = try model({ $0.scheduler?["prediction_type"] = "flow" }, "flow")
      let written = try await convert(flow, to: folder + "/a")
      #expect(
        written.listedChanges.map(\.text) == [
          "assumed: unet: predicts epsilon, because the scheduler's config has the unknown "
            + "'prediction_type' \"flow\", which stays in it"
        ])
      #expect(try Readers.all.read(folder + "/a").scheduler?["prediction_type"] == "flow")
      await #expect(throws: JobError.self) {
        try await convert(flow, to: folder + "/b", isStrict: true)
      }
      let chosen = try await convert(
        flow, InputOptions(prediction: "v_prediction"), to: folder + "/b", isStrict: true)
      #expect(kinds(chosen) == ["changed"])

      let other = try model({ $0.scheduler?["_class_name"] = "MyScheduler" }, "other")
      #expect(
        try await convert(other, to: folder + "/c").listedChanges.map(\.text) == [
          "assumed: unet: was trained with the noise of Stable Diffusion; the scheduler's class "
            + "'MyScheduler', which is unknown, stays in its config"
        ])
      // Decant does not have this class, but knows it.
      let known = try model({ $0.scheduler?["_class_name"] = "UniPCMultistepScheduler" }, "known")
      #expect(try await convert(known, to: folder + "/d", isStrict: true).listedChanges.isEmpty)
    }
  }

  // MARK: - Strict

  @Test func theMovingAverageIsNotDroppedStrictly() async throws {
    try await withTemporaryFolder { folder in
      let file = folder + "/a.safetensors"
      try writePlain(try Readers.all.read(tiny), with: Self.average, to: file)
      var layout = LayoutRequest()
      layout.isStrict = true
      let output = OutputRequest(path: folder + "/b.decant", layout: layout)
      let all = try await convert(file, to: folder + "/all").listedChanges.map(\.text)
      let assumed = try #require(all.filter { $0.hasPrefix(Self.assumedConfigs) }.last)
      let cut = Cut.drops(["mid_block"])
      let request = QuantizationRequest(type: "int8", method: "round")
      let jobs: [any Job] = [
        ConvertJob(model: file, reading: InputOptions(), output: output, type: nil),
        StripJob(model: file, reading: InputOptions(), output: output, cut: cut),
        QuantizeJob(
          model: file, reading: InputOptions(), output: output, isDryRun: false, request: request,
          calibration: nil),
        QuantizeJob(
          model: file, reading: InputOptions(), output: nil, layout: layout, isDryRun: true,
          request: request, calibration: nil),
        ShrinkJob(
          model: file, reading: InputOptions(), output: output, cut: cut, quantization: request,
          calibration: nil, calibrating: smallCalibration, verification: smallVerification,
          report: nil),
      ]
      for job in jobs {
        let error = await #expect(throws: JobError.self) { _ = try await job.run { _ in } }
        #expect(
          error?.description
            == "\(file): 2 changes to the model were not requested: left out: unet: an incomplete "
            + "moving average, which has 1 of 208 tensors: 'model_ema.diffusion_modelout2bias'; "
            + assumed)
        #expect(!FileManager.default.fileExists(atPath: output.path))
        #expect(!FileManager.default.fileExists(atPath: output.path + ".calibration"))
      }
      // Without the request, the list names it, and the provenance keeps it.
      let written = try await convert(file, to: folder + "/b.decant")
      #expect(kinds(written) == ["left_out", "added", "assumed", "added"])
      let steps = try packed(folder + "/b.decant").provenance["steps"]?.array ?? []
      #expect(steps.last?["changes"]?.array?.map { $0["kind"] } == ["left_out", "assumed"])
    }
  }

  @Test func componentsThatAreNotReadAreListed() async throws {
    try await withTemporaryFolder { folder in
      let model = folder + "/m"
      try FileManager.default.copyItem(atPath: tiny, toPath: model)
      let index = model + "/model_index.json"
      let text = try String(contentsOfFile: index, encoding: .utf8)
      let parsed = try JSONValue(parsing: text)
      var members = try #require(parsed.object)
      members["image_encoder"] = ["transformers", "CLIPVisionModelWithProjection"]
      try JSONValue.object(members).text().write(toFile: index, atomically: true, encoding: .utf8)
      let written = try await convert(model, to: folder + "/a")
      #expect(
        written.listedChanges.map(\.text) == [
          "left out: a component that Decant does not read: 'image_encoder'"
        ])
      await #expect(throws: JobError.self) {
        try await convert(model, to: folder + "/b", isStrict: true)
      }
      // The output does not list it any more.
      _ = try await convert(folder + "/a", to: folder + "/b", isStrict: true)
    }
  }

  // MARK: - A guessed prediction type

  private func isGuess(_ path: String) async throws -> Bool {
    let facts = try await InspectJob(
      model: path, reading: InputOptions(), listsTensors: false, checks: false
    ).run().json
    return facts["prediction_certain"] == false
  }

  /// A scheduler config must state a type, and other programs read it as a fact. Decant does not.
  @Test func aGuessStaysAGuessInEveryLayout() async throws {
    try await withTemporaryFolder { folder in
      let file = folder + "/a.safetensors"
      try writePlain(try narrow("sd-v2-1-base"), to: file)
      #expect(try await isGuess(file))
      for (name, program) in [
        ("b", nil), ("b.decant", nil), ("b.safetensors", nil), ("b.gguf", "comfyui"),
        ("c.gguf", "diffusers"),
      ] as [(String, String?)] {
        let path = folder + "/" + name
        let written = try await convert(file, to: path, program: program)
        let assumed = written.listedChanges.filter { $0.text.hasPrefix("assumed: unet: predicts ") }
        #expect(assumed.count == 1, "\(name)")
        #expect(
          assumed.first?.remedy == .choose(.prediction, purpose: "if it predicts another type"))
        #expect(try await isGuess(path), "\(name)")
        // A second copy says it again.
        let again = try await convert(path, to: folder + "/again.safetensors")
        #expect(
          again.listedChanges.contains { $0.text.hasPrefix("assumed: unet: predicts ") }, "\(name)")
        #expect(try await isGuess(folder + "/again.safetensors"), "\(name)")
      }
      let guessed = try SafetensorsFile(path: folder + "/b.safetensors").metadata
      #expect(guessed["modelspec.prediction_type"] == nil)
      #expect(guessed["modelspec.architecture"] == nil)

      let chosen = folder + "/chosen.safetensors"
      let reading = InputOptions(prediction: "v_prediction")
      let written = try await convert(file, reading, to: chosen)
      let assumptions = written.listedChanges.map(\.text).filter { $0.hasPrefix("assumed: ") }
      #expect(assumptions.count == 1 && assumptions[0].hasPrefix(Self.assumedConfigs))
      #expect(try await !isGuess(chosen))
      let stated = try SafetensorsFile(path: chosen).metadata
      #expect(stated["modelspec.prediction_type"] == "v")
      #expect(try Readers.all.read(chosen)["unet"]?.config["sample_size"] == 96)
      let error = await #expect(throws: JobError.self) {
        try await convert(file, to: folder + "/strict.safetensors", isStrict: true)
      }
      #expect(
        error?.remedy
          == .either([
            .choose(.prediction, purpose: "if it predicts another type"),
            .act("use the model's diffusers folder if there is one"), .leaveOut(.strict),
          ]))
      // The metadata's type follows the choice, not the file that was read.
      let epsilon = InputOptions(prediction: "epsilon")
      _ = try await convert(chosen, epsilon, to: folder + "/other.safetensors")
      let other = try SafetensorsFile(path: folder + "/other.safetensors").metadata
      #expect(other["modelspec.prediction_type"] == "epsilon")
      #expect(other["modelspec.architecture"] == "stable-diffusion-v2-512")
    }
  }

  @Test func jobsThatComputeNoteAGuess() async throws {
    try await withTemporaryFolder { folder in
      let file = folder + "/a.safetensors"
      try writePlain(try narrow("sd-v2-1-base"), to: file)
      let log = EventLog()
      let session = ModelSession(
        path: file, reading: InputOptions(), settings: ComputeSettings(compute: .f32))
      _ = try await session.inspect { log.add($0) }
      #expect(
        log.notes.contains { $0.hasPrefix("\(file): assumed: unet: predicts epsilon (guessed") })
      // A type that someone wrote into the scheduler's config is stated.
      _ = try await convert(file, to: folder + "/m")
      let config = folder + "/m/scheduler/scheduler_config.json"
      try String(contentsOfFile: config, encoding: .utf8)
        .replacing("\"epsilon\"", with: "\"v_prediction\"")
        .write(toFile: config, atomically: true, encoding: .utf8)
      #expect(try await !isGuess(folder + "/m"))
    }
  }

  // MARK: - Adapters

  /// Writes an adapter for one module of the U-Net of `tiny`, and one for a module that it lacks.
  private func writeAdapter(to path: String) throws {
    let module = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    let unet = try #require(try Readers.all.read(tiny)["unet"])
    let shape = try #require(unet.weights.entry(module + ".weight")?.shape)
    func ones(_ extents: [Int]) -> StoredTensor {
      StoredTensor(
        shape: Shape(extents), floats: [Float](repeating: 0.01, count: extents.reduce(1, *)))
    }
    var tensors: [(String, StoredTensor)] = []
    for key in ["unet." + module, "unet.nothing"] {
      tensors.append((key + ".lora_A.weight", ones([1, shape[1]])))
      tensors.append((key + ".lora_B.weight", ones([shape[0], 1])))
    }
    try writeSafetensors(MemorySource(location: path, tensors), to: path)
  }

  /// The adapters in the parameters of an image.
  private func adapters(_ path: String, _ reading: InputOptions) async throws -> String {
    var request = GenerateRequest.standard
    request.prompts = ["a red circle"]
    request.steps = 1
    (request.width, request.height) = (16, 16)
    let session = ModelSession(
      path: path, reading: reading, settings: ComputeSettings(compute: .f32))
    let images = try await session.generate(request)
    return images[0].parameters[0].adapters.map { "\($0.name) \($0.scale)" }.joined(separator: ",")
  }

  @Test func adaptersAreListedAndNamedInImages() async throws {
    try await withTemporaryFolder { folder in
      let adapter = folder + "/style.safetensors"
      try writeAdapter(to: adapter)
      let reading = InputOptions(
        composition: Composition(
          adapters: [AdapterInput(path: adapter, scale: 0.5)], allowsUnused: true))
      #expect(try await adapters(tiny, InputOptions()) == "")
      #expect(try await adapters(tiny, reading) == "style 0.5")
      for name in ["a", "a.decant", "a.safetensors"] {
        let path = folder + "/" + name
        let written = try await convert(tiny, reading, to: path, isStrict: true)
        let texts = written.listedChanges.map(\.text)
        #expect(
          texts.first
            == "changed: unet: LoRA of style.safetensors merged into 1 module, scale 0.5")
        #expect(
          texts.contains {
            $0.hasPrefix(
              "left out: 1 module or tensor of style.safetensors that the model does not have: ")
          })
        // A model that was merged earlier says so, also after another conversion.
        #expect(try await adapters(path, InputOptions()) == "style 0.5", "\(name)")
        _ = try await convert(path, to: folder + "/again.safetensors")
        #expect(
          try await adapters(folder + "/again.safetensors", reading) == "style 0.5,style 0.5")
      }
    }
  }
}

import ModelSources
import Support
import Tensors
import Testing

/// Facts that follow from the architecture of a model, however it was put together.
struct DefaultTests {
  private func component(
    _ name: String, _ config: JSONObject = [:], isDerived: Bool = true
  ) -> ModelSource.Component {
    ModelSource.Component(
      name: name, className: "", config: config, weights: MemorySource(location: name, []),
      configIsDerived: isDerived)
  }

  private func model(_ components: [ModelSource.Component]) -> ModelSource {
    ModelSource(
      location: "m", layout: "memory", index: [:], components: components, scheduler: nil,
      files: [])
  }

  private static let added: JSONObject = [
    "addition_embed_type": "text_time", "projection_class_embeddings_input_dim": 2816,
    "addition_time_embed_dim": 256,
  ]

  @Test func derivedAutoencodersFollowTheArchitecture() {
    for (unet, factor, upcast) in [
      ([:], 0.18215, nil), (Self.added, 0.13025, true),
    ] as [(JSONObject, Double, JSONValue?)] {
      // Alone, an autoencoder has the facts of Stable Diffusion 1.
      var source = model([component("vae")]).completedWithArchitectureDefaults()
      #expect(source["vae"]?.config["scaling_factor"] == 0.18215)
      source["unet"] = component("unet", unet)
      let whole = source.completedWithArchitectureDefaults()
      #expect(whole["vae"]?.config["scaling_factor"] == .number(factor))
      #expect(whole["vae"]?.config["force_upcast"] == upcast)
      // What a file states wins.
      source["vae"] = component("vae", ["scaling_factor": 0.5], isDerived: false)
      let stated = source.completedWithArchitectureDefaults()
      #expect(stated["vae"]?.config == ["scaling_factor": 0.5])
    }
  }

  /// A U-Net of the refiner is taken for SDXL's until its text encoder shows the architecture.
  @Test func defaultsAreReplacedWhenTheArchitectureChanges() {
    var source = model([component("unet", Self.added)]).completedWithArchitectureDefaults()
    #expect(source.index["_class_name"] == "StableDiffusionXLPipeline" && source.indexIsDefault)
    #expect(source.index["force_zeros_for_empty_prompt"] == true)
    source["text_encoder_2"] = component("text_encoder_2", ["projection_dim": 1536])
    let refiner = source.completedWithArchitectureDefaults()
    #expect(refiner.index["_class_name"] == "StableDiffusionXLImg2ImgPipeline")
    #expect(refiner.index["force_zeros_for_empty_prompt"] == false)
    #expect(refiner.index["requires_aesthetics_score"] == true)
    // (2816 - 1536) / 5
    #expect(refiner["unet"]?.config["addition_time_embed_dim"] == 256)
    var base = refiner
    base["text_encoder_2"] = nil
    base = base.completedWithArchitectureDefaults()
    #expect(base.index["requires_aesthetics_score"] == nil)
    #expect(base.index["_class_name"] == "StableDiffusionXLPipeline")
  }

  /// The width of the sinusoids is what the pooled text leaves for each time id.
  @Test func theWidthOfTimeIDsFollowsFromThePooledText() {
    for (inputs, pooled, width) in [(2816, 1280, 256), (128, 80, 8), (127, 80, 256)] {
      var unet = Self.added
      unet["projection_class_embeddings_input_dim"] = .integer(inputs)
      let source = model([
        component("text_encoder"),
        component("text_encoder_2", ["projection_dim": .integer(pooled)]), component("unet", unet),
      ]).completedWithArchitectureDefaults()
      #expect(source["unet"]?.config["addition_time_embed_dim"] == .integer(width))
    }
  }

  @Test func thePredictionTypeFollowsFromTheArchitecture() {
    let mark = Architecture.stableDiffusion2.predictionMark ?? ""
    var evidence = PredictionEvidence()
    evidence.statistics[mark] = .init(tensor: "t", deviation: 0.2)
    var source = model([component("unet", ["cross_attention_dim": 64])])
    source.predictionEvidence = evidence
    let first = source.completedWithArchitectureDefaults()
    #expect(first.scheduler?["prediction_type"] == "epsilon" && first.schedulerIsDefault)
    #expect(first.prediction?.isCertain == true)
    #expect(first["unet"]?.config["sample_size"] == 64)
    var second = first
    second["text_encoder"] = component("text_encoder", ["hidden_act": "gelu"])
    second = second.completedWithArchitectureDefaults()
    #expect(second.scheduler?["prediction_type"] == "v_prediction")
    #expect(second.prediction?.isCertain == false)
    #expect(second["unet"]?.config["sample_size"] == 96)
    // A choice of the user is certain, and a scheduler config that a file states stays.
    evidence.chosen = .sample
    second.predictionEvidence = evidence
    second = second.completedWithArchitectureDefaults()
    #expect(second.scheduler?["prediction_type"] == "sample")
    #expect(second.prediction?.isCertain == true)
    second.scheduler = ["prediction_type": "v_prediction"]
    second.schedulerIsDefault = false
    second = second.completedWithArchitectureDefaults()
    #expect(second.scheduler == ["prediction_type": "v_prediction"])
    // What was found before does not describe this config.
    #expect(second.prediction == nil)
  }

  /// A folder of a U-Net holds a config and no scheduler.
  @Test func aConfigWithoutASchedulerIsAGuessForStableDiffusion2() {
    for (width, size, type, isCertain) in [
      (1024, 96, "v_prediction", false), (1024, 64, "epsilon", false), (768, 96, "epsilon", true),
    ] {
      let source = model([
        component(
          "unet", ["cross_attention_dim": .integer(width), "sample_size": .integer(size)],
          isDerived: false)
      ]).completedWithArchitectureDefaults()
      #expect(source.scheduler?["prediction_type"] == .string(type))
      #expect(source.prediction?.isCertain == isCertain)
      #expect(source["unet"]?.config["sample_size"] == .integer(size))
    }
  }

  /// Files that Decant writes carry it.
  @Test func evidenceComesBackFromItsJSON() throws {
    var evidence = PredictionEvidence()
    #expect(evidence.json == [:] && PredictionEvidence(json: [:]) == evidence)
    evidence.chosen = .velocity
    evidence.marker = "model.diffusion_model.v_pred"
    evidence.stated = "epsilon"
    evidence.step = 875_000
    evidence.statistics = [
      "a": .init(tensor: "m.a", deviation: 0.1), "b": .init(tensor: "m.b", deviation: 1.0 / 3),
    ]
    evidence.endsInNoise = true
    let text = JSONValue.object(evidence.json).text()
    let read = try JSONValue(parsing: text)
    #expect(PredictionEvidence(json: try #require(read.object)) == evidence)
    // Members of other kinds count as absent.
    let foreign: JSONObject = [
      "chosen": "x", "marker": 1, "stated": [:], "step": "y", "statistics": ["a": ["tensor": 2]],
      "ends_in_noise": 3,
    ]
    #expect(PredictionEvidence(json: foreign) == PredictionEvidence())
  }

  /// Marks in a file say again what no input states, and nothing else.
  @Test func defaultsComeBackFromTheirMarks() {
    var whole = model([
      component("text_encoder", isDerived: false), component("unet", ["cross_attention_dim": 64]),
    ])
    whole.files = [ModelSource.File(path: "notes", bytes: ByteSlice([UInt8]()))]
    var evidence = PredictionEvidence()
    evidence.marker = "v_pred"
    whole.predictionEvidence = evidence
    whole = whole.completedWithArchitectureDefaults()
    let paths = whole.files.map(\.path)
    let tokenizer = paths.filter { $0.hasPrefix("tokenizer/") }
    #expect(!tokenizer.isEmpty && paths.count == tokenizer.count + 1)

    let members = DefaultMarks.members(of: whole, holding: Array(tokenizer.prefix(1)))
    #expect(
      members == [
        "defaults": .strings(["index", "scheduler"] + tokenizer.prefix(1)),
        "evidence": ["marker": "v_pred"],
      ])
    let provenance = DefaultMarks.provenance(
      ["tool": "t", "defaults": ["notes"], "derived": ["vae"]], marking: whole)
    #expect(
      provenance == [
        "tool": "t", "derived": ["unet"],
        "defaults": .strings(["index", "scheduler"] + paths.filter { $0 != "notes" }),
        "evidence": ["marker": "v_pred"],
      ])
    #expect(DefaultMarks.removed(from: provenance) == ["tool": "t"])

    let marks = DefaultMarks(among: provenance)
    #expect(tokenizer.allSatisfy(marks.hasFile) && !marks.hasFile("notes"))
    var read = model([
      component("text_encoder", isDerived: false), component("unet", isDerived: false),
    ])
    read.scheduler = whole.scheduler
    marks.restore(in: &read)
    #expect(read.indexIsDefault && read.schedulerIsDefault)
    #expect(read.predictionEvidence == evidence)
    #expect(read.components.map(\.configIsDerived) == [false, true])
    // A scheduler that is not there is no default.
    read.scheduler = nil
    marks.restore(in: &read)
    #expect(!read.schedulerIsDefault)

    // Members of other kinds count as absent, and what has no mark is stated.
    for foreign: JSONObject in [[:], ["defaults": "index", "evidence": [], "derived": [1]]] {
      read.scheduler = whole.scheduler
      DefaultMarks(among: foreign).restore(in: &read)
      #expect(!read.indexIsDefault && !read.schedulerIsDefault)
    }
    read.components[1].configIsDerived = false
    #expect(DefaultMarks.provenance(["tool": "t"], marking: read) == ["tool": "t"])
  }

  @Test func evidenceHasAnOrder() {
    var evidence = PredictionEvidence()
    func found(_ architecture: Architecture = .stableDiffusion2) -> [String] {
      let prediction = evidence.prediction(for: architecture)
      return [prediction.type.rawValue, prediction.isCertain ? "certain" : "guess"]
    }
    #expect(found() == ["epsilon", "guess"] && !evidence.shows(for: .stableDiffusion2))
    #expect(found(.stableDiffusionXL) == ["epsilon", "certain"])
    let mark = Architecture.stableDiffusion2.predictionMark ?? ""
    evidence.statistics[mark] = .init(tensor: "t", deviation: 0.0900001)
    #expect(found() == ["v_prediction", "guess"])
    #expect(evidence.shows(for: .stableDiffusion2) && !evidence.shows(for: .stableDiffusion1))
    #expect(found(.stableDiffusion1) == ["epsilon", "certain"])
    evidence.step = 875_000
    #expect(found() == ["epsilon", "certain"])
    for (stated, type) in [
      ("v", "v_prediction"), ("v_prediction", "v_prediction"), ("sample", "sample"),
      ("epsilon", "epsilon"), ("eps", "epsilon"), ("Velocity", "v_prediction"),
      ("v-prediction", "v_prediction"),
    ] {
      evidence.stated = stated
      #expect(found(.stableDiffusion1) == [type, "certain"])
    }
    // Words that stand for no type make the type a guess.
    for stated in ["flow", "edm", "vae", "e"] {
      evidence.stated = stated
      #expect(evidence.statedPrediction == nil && found() == ["epsilon", "guess"])
      #expect(found(.stableDiffusion1) == ["epsilon", "guess"])
      #expect(
        evidence.prediction(for: .stableDiffusion1).reason
          == "guessed: the metadata's 'modelspec.prediction_type' has the unknown value '\(stated)'"
      )
    }
    evidence.stated = ""
    #expect(evidence.unknownStatement == nil && found() == ["epsilon", "certain"])
    evidence.marker = "v_pred"
    #expect(found() == ["v_prediction", "certain"])
    evidence.chosen = .epsilon
    #expect(found() == ["epsilon", "certain"])
  }

  @Test func predictionsAreReadBack() {
    let guess = Prediction(.velocity, reason: "guessed: a", isCertain: false)
    #expect(Prediction(json: guess.json) == guess)
    for value in [nil, .null, "v_prediction", ["type": "flow"]] as [JSONValue?] {
      #expect(Prediction(json: value) == nil)
    }
  }

  @Test func defaultTokenizersFollowTheArchitectureAndOthersStay() {
    func texts(_ source: ModelSource) -> [String] {
      source.files.map { String(decoding: $0.bytes.array, as: UTF8.self) }
    }
    let clip = component("text_encoder", ["hidden_act": "quick_gelu"])
    let first = model([clip]).completedWithArchitectureDefaults()
    #expect(first.files.allSatisfy(\.isDefault) && first.files.count == 2)
    var second = first
    second["text_encoder"] = component("text_encoder", ["hidden_act": "gelu"])
    second = second.completedWithArchitectureDefaults()
    #expect(second.files.map(\.path) == first.files.map(\.path))
    #expect(texts(second) != texts(first))
    second.files[0] = ModelSource.File(path: second.files[0].path, bytes: ByteSlice([UInt8(1)]))
    second["text_encoder"] = clip
    #expect(texts(second.completedWithArchitectureDefaults()) == texts(second))
  }
}

/// The list of what reading left out, changed, added or assumed.
struct ModelChangeTests {
  @Test func unexpectedChangesLoseOrAssumeSomething() {
    for kind in ModelChange.Kind.allCases {
      let isLoss = [.leftOut, .changed, .assumed].contains(kind)
      #expect(ModelChange(kind, "a").isUnexpected == isLoss)
      #expect(!ModelChange(kind, "a", isRequested: true).isUnexpected)
    }
  }

  @Test func linesNameThreeAndJSONTwenty() {
    let change = ModelChange(
      .leftOut, component: "vae", "tensors", names: (1...25).map { "t\($0)" },
      remedy: .renameOutput)
    #expect(change.text == "left out: vae: tensors: 't1', 't2', 't3' and 22 more")
    let json = change.json.object
    #expect(json?["kind"] == "left_out" && json?["component"] == "vae")
    #expect(json?["count"] == 25 && json?["requested"] == false)
    #expect(json?["names"]?.array?.count == 20)
    let other = change.of("unet")
    #expect(other.component == "unet" && other.remedy == .renameOutput)
    #expect(ModelChange(.kept, "a").text == "kept: a")
  }

  @Test func mergedAdaptersAreStepsOfTheProvenance() {
    var model = ModelSource(
      location: "m", layout: "", index: [:], components: [], scheduler: nil, files: [])
    #expect(model.mergedAdapters.isEmpty)
    model.provenance["steps"] = [
      ["step": "convert"], ["step": "merge", "adapter": "a.safetensors", "scale": 0.5],
      ["step": "merge", "adapter": "b"], ["step": "merge"],
    ]
    #expect(model.mergedAdapters.map(\.file) == ["a.safetensors", "b"])
    #expect(model.mergedAdapters.map(\.scale) == [0.5, 1])
    #expect(model.mergeSteps.count == 3)
  }
}

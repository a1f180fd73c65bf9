import ModelSources
import Support

/// The configs and tokenizer texts that Decant stores in the metadata of single files and GGUF
/// files, so that a model can be restored exactly.
///
///     decant.config   {"index": …, "scheduler": …,
///                      "components": {"unet": {"class": …, "config": …}},
///                      "files": {"tokenizer/tokenizer_config.json": …}}
///
/// What was assumed stays marked: `"derived": true` of a component whose config was derived from its
/// tensors, `"prediction"` where the prediction type is a guess, and the members of ``DefaultMarks``.
/// `"steps"` are those of the provenance that merged adapters.
struct CarriedConfig {
  static let key = "decant.config"
  /// Tokenizer files that are always stored.
  private static let texts = [
    "special_tokens_map.json", "tokenizer_config.json", "added_tokens.json",
  ]
  /// Tokenizer files that are stored only where all of them are short. CLIP's vocabulary is long
  /// and built in.
  private static let vocabulary = ["merges.txt", "tokenizer.json", "vocab.json"]
  /// The maximum size of a short file, in bytes.
  private static let longest = 1 << 18

  let index: JSONObject
  let scheduler: JSONObject?
  private let prediction: JSONValue?
  private let defaults: DefaultMarks
  private let steps: [JSONValue]
  private let components: JSONObject
  let files: [ModelSource.File]

  /// Reads the configs from a file's metadata; `nil` for a file that another program wrote.
  init?(_ metadata: JSONObject, path: String) throws(SingleFileError) {
    guard let value = metadata[Self.key] else { return nil }
    guard let text = value.string else { throw .malformedConfig(path: path, found: value.kind) }
    let parsed: JSONValue
    do { parsed = try JSONValue(parsing: text) } catch {
      throw .malformedConfig(path: path, found: "not JSON (\(error))")
    }
    guard let object = parsed.object, let index = object["index"]?.object,
      let components = object["components"]?.object
    else { throw .malformedConfig(path: path, found: "without 'index' or 'components'") }
    for (name, component) in components.members
    where component.object?["class"]?.string == nil || component.object?["config"]?.object == nil {
      throw .malformedConfig(
        path: path, found: "without the class or config of component '\(shown(name))'")
    }
    self.index = index
    self.components = components
    scheduler = object["scheduler"]?.object
    prediction = object[Prediction.fact]
    let defaults = DefaultMarks(among: object)
    self.defaults = defaults
    steps = object[ModelSource.stepsFact]?.array?.filter { $0.object != nil } ?? []
    files = (object["files"]?.object?.members ?? []).compactMap { name, value in
      // Only the paths that Decant writes are read, so no path leads elsewhere.
      guard let text = value.string, Self.isCarried(name) else { return nil }
      return ModelSource.File(
        path: name, bytes: ByteSlice([UInt8](text.utf8)), isDefault: defaults.hasFile(name))
    }
  }

  private static func isCarried(_ path: String) -> Bool {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    return parts.count == 2 && ComponentName.tokenizers.contains(parts[0])
      && (texts + vocabulary).contains(parts[1])
  }

  func component(
    _ name: String
  ) -> (className: String, config: JSONObject, isDerived: Bool)? {
    guard let found = components[name]?.object, let className = found["class"]?.string,
      let config = found["config"]?.object
    else { return nil }
    return (className, config, found[Self.derived]?.bool == true)
  }

  private static let derived = "derived"

  /// Marks in the model what was assumed when the file was written, and adds the steps that merged
  /// adapters.
  func restoreNotes(of model: inout ModelSource) {
    defaults.restore(in: &model)
    if Prediction(json: prediction) != nil { model.provenance[Prediction.fact] = prediction }
    if !steps.isEmpty { model.provenance[ModelSource.stepsFact] = .array(steps) }
  }

  /// The metadata text of `model`.
  static func text(of model: ModelSource) -> String {
    // A tokenizer is stored only with its text encoder.
    let tokenizers = model.components.compactMap { ComponentName.tokenizer(of: $0.name) }
    let short = tokenizers.filter { folder in
      vocabulary.allSatisfy { (model.file("\(folder)/\($0)")?.count ?? 0) <= longest }
    }
    let files = model.files.filter { file in
      let parts = file.path.split(separator: "/").map(String.init)
      return isCarried(file.path) && tokenizers.contains(parts[0])
        && (texts.contains(parts[1]) || short.contains(parts[0]))
    }.compactMap { file in
      (try? String(fileText: file.bytes.array)).map { (file.path, JSONValue.string($0)) }
    }
    let components = model.components.map { component in
      var members: JSONObject = [
        "class": .string(component.className), "config": .object(component.config),
      ]
      if component.configIsDerived { members[derived] = true }
      return (component.name, JSONValue.object(members))
    }
    var whole: JSONObject = [
      "index": .object(model.index),
      "scheduler": model.scheduler.map { .object($0) } ?? .null,
      "components": .object(JSONObject(components)), "files": .object(JSONObject(files)),
    ]
    if let prediction = model.prediction, !prediction.isCertain {
      whole[Prediction.fact] = prediction.json
    }
    let defaults = DefaultMarks.members(of: model, holding: files.map(\.0))
    for (name, value) in defaults.members { whole[name] = value }
    let merges = model.mergeSteps
    if !merges.isEmpty { whole[ModelSource.stepsFact] = .array(merges) }
    return JSONValue.object(whole).text()
  }
}

private import Checkpoints
internal import ModelSources
private import Models
private import Packfiles
private import Sampling
package import Support
private import Synchronization
internal import Tensors

/// How a model is read and put together.
package struct InputOptions: Sendable {
  /// A variant of a diffusers folder (`fp16`), or `nil` for the plain one.
  package var variant: String?
  /// Whether the exponential moving average (EMA) of the weights is read where a file holds both.
  package var ema: Bool
  /// The U-Net's prediction type, in place of the type in the scheduler's config.
  package var prediction: String?
  /// Whether NaN and infinite weights are accepted.
  package var allowsNonfinite: Bool
  /// Components of other models and adapters that are put into the model.
  package var composition: Composition

  package init(
    variant: String? = nil, ema: Bool = false, prediction: String? = nil,
    allowsNonfinite: Bool = false, composition: Composition = Composition()
  ) {
    self.composition = composition
    self.variant = variant
    self.ema = ema
    self.prediction = prediction
    self.allowsNonfinite = allowsNonfinite
  }
}

extension InputOptions {
  /// The options without components of other models and without adapters.
  var alone: InputOptions {
    var copy = self
    copy.composition = Composition()
    return copy
  }
}

/// Every layout that models are read from and written to.
enum Layouts {
  static let readers: [any ModelReader] = [PackfileModelReader()] + Readers.all
  static var writers: [any ModelWriter] { [PackfileWriter()] + Writers.all }

  /// The results of a verification that the file at `path` holds; `nil` where it holds none.
  static func verification(in path: String) -> JSONObject? {
    (try? PackfileReader(path: path))?.parity
  }
}

extension ModelSource {
  /// The model at `path`, whose layout is found from its contents. Reading a tensor with NaN or
  /// infinite numbers throws ``NonfiniteError``, unless the options allow such numbers.
  ///
  /// - Parameters:
  ///   - keepingKinds: whether weights that adapters are merged into keep their number type. They
  ///     are float32 otherwise, for a job that converts them next.
  ///   - completesTokenizers: whether tokenizers without a vocabulary get CLIP's.
  ///   - changes: what happens with the changes of reading.
  static func reading(
    _ path: String, _ options: InputOptions, keepingKinds: Bool = false,
    completesTokenizers: Bool = true, changes: ChangeReport = .noted,
    _ events: EventSink = { _ in }
  ) throws -> ModelSource {
    var source: ModelSource
    do {
      source = try Layouts.readers.read(
        path,
        options: ReadOptions(
          variant: options.variant, ema: options.ema,
          replaced: Set(options.composition.parts.map(\.component)))
      ).withoutUnusedTensors()
    } catch {
      guard isCalibration(path) else { throw error }
      throw JobError(
        "\(path): is a calibration file, expected a model",
        remedy: .choose(.calibration, purpose: "to quantize a model with it"))
    }
    if completesTokenizers { source.addVocabularies() }
    if !options.composition.isEmpty {
      source = try options.composition.applied(
        to: source, reading: options.alone, keepingKinds: keepingKinds)
      if completesTokenizers { source.addVocabularies() }
    }
    if let prediction = options.prediction { try source.predict(prediction) }
    if changes != .ofReaders {
      source.addChangesOfReading(isDescribed: changes == .described)
      source.addTokenizerMisfits()
    }
    if changes == .noted { source.noteChanges(events) }
    if options.allowsNonfinite { return source }
    return source.mappingWeights { FiniteSource($0.weights) }
  }

  /// Adds CLIP's vocabulary to tokenizers without one. Single files hold no vocabulary, and their
  /// models all use this one.
  mutating func addVocabularies() {
    let folders = Set(files.compactMap { $0.path.split(separator: "/").first.map(String.init) })
    for folder in ComponentName.tokenizers where folders.contains(folder) {
      if file(folder + "/vocab.json") != nil || file(folder + "/tokenizer.json") != nil { continue }
      let missing = CLIPVocabulary.files(folder: folder).filter { file($0.path) == nil }
        .map { ModelSource.File(path: $0.path, bytes: $0.bytes, isDefault: true) }
      files = (files + missing).sorted { $0.path < $1.path }
    }
  }

  /// Adds the changes of text encoders with fewer embeddings than their tokenizers have tokens.
  private mutating func addTokenizerMisfits() {
    for component in components {
      guard let folder = ComponentName.tokenizer(of: component.name),
        let count = component.config["vocab_size"]?.integer, count < CLIPVocabulary.count
      else { continue }
      let own = files.filter { $0.path.hasPrefix(folder + "/") }
      if own.isEmpty { continue }
      if own.allSatisfy(\.isDefault) {
        changes.append(
          ModelChange(
            .added, component: component.name,
            "no tokenizer of '\(component.name)' was found, and CLIP's has "
              + "\(CLIPVocabulary.count) tokens, but '\(component.name)' has \(count) embeddings; "
              + "the model cannot make images",
            remedy: .act("take the text encoder from its diffusers folder")))
      } else if let tokenizer = try? CLIPTokenizer(self, folder: folder),
        tokenizer.largestSpecialID >= count
      {
        changes.append(
          ModelChange(
            .assumed, component: component.name,
            "the tokenizer belongs to it, which has token ID \(tokenizer.largestSpecialID), but "
              + "'\(component.name)' has \(count) embeddings; the model cannot make images",
            remedy: .act("use the tokenizer of this text encoder")))
      }
    }
  }

  /// Replaces the prediction type in the scheduler's config.
  private mutating func predict(_ name: String) throws {
    let type = member(named: name, of: PredictionType.allCases) { [$0.rawValue] }
    guard let type else {
      throw JobError(unknown: name, "prediction type", expected: predictionNames)
    }
    guard scheduler != nil else {
      throw JobError(
        "\(location): the model has no scheduler config to hold a prediction type",
        remedy: .act("add the missing components first"))
    }
    var evidence = predictionEvidence ?? PredictionEvidence()
    evidence.chosen = type
    predictionEvidence = evidence
    provenance[Prediction.fact] = evidence.statedPrediction?.json
    scheduler?[PredictionType.key] = type.json
    // Defaults such as the size of the images depend on the type.
    if schedulerIsDefault || configsAreDerived { self = completedWithArchitectureDefaults() }
    changes.append(
      ModelChange(
        .changed, component: ComponentName.unet, "predicts \(type.rawValue)", isRequested: true))
  }

  /// The model with what it lacks to generate images taken from `reference`: the autoencoder, the
  /// text encoders, their tokenizers and the scheduler config. A file for some programs holds a
  /// U-Net alone.
  func completed(by reference: ModelSource, _ events: EventSink) -> ModelSource {
    guard let unet = self[ComponentName.unet] else { return self }
    let lacksText = ComponentName.textEncoders.allSatisfy { self[$0] == nil }
    let names =
      (lacksText ? ComponentName.textEncoders : [])
      + (self[ComponentName.vae] == nil ? [ComponentName.vae] : [])
    let taken = names.compactMap { reference[$0] }
    if taken.isEmpty { return self }
    events(
      .note(
        "\(location) has no \(alternatives(taken.map(\.name))); the verification uses "
          + "\(taken.count == 1 ? "that" : "those") of \(reference.location)"))
    var copy = self
    copy.components = (components + taken).sorted { $0.name < $1.name }
    if configsAreDerived, let other = reference[ComponentName.unet] {
      // Tensors show neither the number of heads nor the scheduler.
      copy[ComponentName.unet] = unet.withConfig(of: other, in: location)
      copy.scheduler = reference.scheduler ?? scheduler
      copy.schedulerIsDefault = false
    }
    copy.scheduler = copy.scheduler ?? reference.scheduler
    copy.files += reference.files.filter { file($0.path) == nil }
    return copy
  }

  /// The same model with every component's weights passed through `transform`.
  func mappingWeights(
    _ transform: (Component) throws -> any WeightSource
  ) rethrows -> ModelSource {
    var copy = self
    for index in copy.components.indices {
      copy.components[index].weights = try transform(copy.components[index])
    }
    return copy
  }
}

/// A weight that is NaN or infinite.
package struct NonfiniteError: RemediableError, Equatable {
  package let location: String
  package let tensor: String

  package var description: String {
    "\(location): tensor '\(tensor)' holds NaN or infinite numbers; the file is damaged or its "
      + "training failed"
  }

  package var remedy: Remedy? { .choose(.allowNonfinite, purpose: "to use it anyway") }
}

/// Weights that throw ``NonfiniteError`` for tensors with NaN or infinite numbers. A tensor is
/// scanned when it is first read.
private final class FiniteSource: WeightSource {
  private let base: any WeightSource
  private let scanned = Mutex<Set<String>>([])

  init(_ base: any WeightSource) { self.base = base }

  var location: String { base.location }
  var names: [String] { base.names }
  func entry(_ name: String) -> TensorEntry? { base.entry(name) }
  func storedName(_ name: String) -> String { base.storedName(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    if scanned.withLock({ $0.contains(name) }) { return tensor }
    if tensor.hasNonfinite { throw NonfiniteError(location: location, tensor: name) }
    scanned.withLock { _ = $0.insert(name) }
    return tensor
  }
}

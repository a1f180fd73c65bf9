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
}

extension ModelSource {
  /// The model at `path`, whose layout is found from its contents. Reading a tensor with NaN or
  /// infinite numbers throws ``NonfiniteError``, unless the options allow such numbers.
  ///
  /// - Parameters:
  ///   - keepingKinds: whether weights that adapters are merged into keep their number type. They
  ///     are float32 otherwise, for a job that converts them next.
  ///   - completesTokenizers: whether tokenizers without a vocabulary get CLIP's.
  static func reading(
    _ path: String, _ options: InputOptions, keepingKinds: Bool = false,
    completesTokenizers: Bool = true,
    _ events: EventSink = { _ in }
  ) throws -> ModelSource {
    var source: ModelSource
    do {
      source = try Layouts.readers.read(
        path, options: ReadOptions(variant: options.variant, ema: options.ema))
    } catch {
      guard isCalibration(path) else { throw error }
      throw JobError(
        "\(path): is a calibration file, expected a model",
        remedy: .choose(.calibration, purpose: "to quantize a model with it"))
    }
    if completesTokenizers { source.addVocabularies() }
    if !options.composition.isEmpty {
      source = try options.composition.applied(
        to: source, reading: options.alone, keepingKinds: keepingKinds, events)
      if completesTokenizers { source.noteMisfits(of: source.addVocabularies(), events) }
    }
    if let prediction = options.prediction { try source.predict(prediction) }
    source.noteDerivedConfigs(events)
    if options.allowsNonfinite { return source }
    return source.mappingWeights { FiniteSource($0.weights) }
  }

  /// Notes a single file without configs whose sizes are those of no published model: its tensors
  /// do not determine the configs.
  private func noteDerivedConfigs(_ events: EventSink) {
    guard configsAreDerived, let family = try? Model.bind(self).family, family.template == nil
    else { return }
    events(
      .note(
        "\(location): the file holds no configs, and no published model has these sizes "
          + "(\(family.name)); what the tensors do not show is assumed, such as the number of "
          + "attention heads",
        remedy: .act("use the model's diffusers folder if there is one")))
  }

  /// Adds CLIP's vocabulary to tokenizers without one. Single files hold no vocabulary, and their
  /// models all use this one.
  ///
  /// - Returns: the folders of those tokenizers.
  @discardableResult
  mutating func addVocabularies() -> [String] {
    var completed: [String] = []
    let folders = Set(files.compactMap { $0.path.split(separator: "/").first.map(String.init) })
    for folder in ComponentName.tokenizers where folders.contains(folder) {
      if file(folder + "/vocab.json") != nil || file(folder + "/tokenizer.json") != nil { continue }
      completed.append(folder)
      let missing = CLIPVocabulary.files(folder: folder).filter { file($0.path) == nil }
      files = (files + missing).sorted { $0.path < $1.path }
    }
    return completed
  }

  /// Notes text encoders with fewer embeddings than the tokens of CLIP's vocabulary, which their
  /// tokenizers got.
  private func noteMisfits(of tokenizers: [String], _ events: EventSink) {
    for component in components {
      guard let folder = ComponentName.tokenizer(of: component.name), tokenizers.contains(folder),
        let count = component.config["vocab_size"]?.integer, count < CLIPVocabulary.count
      else { continue }
      events(
        .note(
          "\(location): no tokenizer of '\(component.name)' was found, and CLIP's has "
            + "\(CLIPVocabulary.count) tokens, but '\(component.name)' has \(count) embeddings; the "
            + "model cannot make images",
          remedy: .act("take the text encoder from its diffusers folder")))
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
    scheduler?[PredictionType.key] = .string(type.rawValue)
    provenance["prediction"] = [
      "type": .string(type.rawValue), "reason": "chosen by the user", "certain": true,
    ]
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

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    if scanned.withLock({ $0.contains(name) }) { return tensor }
    if tensor.hasNonfinite { throw NonfiniteError(location: location, tensor: name) }
    scanned.withLock { _ = $0.insert(name) }
    return tensor
  }
}

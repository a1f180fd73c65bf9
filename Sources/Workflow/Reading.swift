private import Checkpoints
internal import ModelSources
private import Packfiles
private import Sampling
internal import Support
internal import Tensors

/// How a model is read.
package struct InputOptions: Sendable {
  /// A variant of a diffusers folder (`fp16`), or `nil` for the plain one.
  package var variant: String?
  /// Whether the exponential moving average of the weights is read where a file holds both.
  package var ema: Bool
  /// What the U-Net's output stands for, instead of what the model says of itself.
  package var prediction: String?
  /// Whether NaN and infinite weights are accepted.
  package var allowsNonfinite: Bool
  /// What the model is put together from beside itself.
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
  /// The options without what is put together.
  var alone: InputOptions {
    var copy = self
    copy.composition = Composition()
    return copy
  }
}

/// Names of what a U-Net's output can stand for.
package let predictionNames = PredictionType.allCases.map(\.rawValue)

/// Every layout that models are read from and written to: other people's, and Decant's own.
enum Layouts {
  static let readers: [any ModelReader] = [PackfileLayout()] + Readers.all
  static var writers: [any ModelWriter] { [PackfileWriter()] + Writers.all }
}

extension ModelSource {
  /// The model at `path`, found by looking; its weights are refused when they are NaN or infinite,
  /// unless the options allow them.
  ///
  /// - Parameter keepingKinds: whether weights that adapters were merged into are stored as they
  ///   were; else in float32, for who narrows them next.
  /// - Parameter completesTokenizers: whether tokenizers that came without a vocabulary get CLIP's.
  static func reading(
    _ path: String, _ options: InputOptions, keepingKinds: Bool = false,
    completesTokenizers: Bool = true,
    _ events: EventSink = { _ in }
  ) throws -> ModelSource {
    var source = try Layouts.readers.read(
      path, options: ReadOptions(variant: options.variant, ema: options.ema))
    if let variant = options.variant, source.provenance["variants"] == nil {
      throw JobError(
        "--variant \(variant): \(path) is a \(source.layout), which has no variants")
    }
    if completesTokenizers { source.addVocabularies() }
    if !options.composition.isEmpty {
      source = try options.composition.applied(
        to: source, reading: options.alone, keepingKinds: keepingKinds, events)
      if completesTokenizers { source.addVocabularies() }
    }
    if let prediction = options.prediction { try source.predict(prediction) }
    if options.allowsNonfinite { return source }
    return source.mappingWeights { FiniteSource(base: $0.weights) }
  }

  /// Gives CLIP's vocabulary to tokenizers that came without: single files hold none, and theirs is
  /// always this one.
  mutating func addVocabularies() {
    let folders = Set(files.compactMap { $0.path.split(separator: "/").first.map(String.init) })
    for folder in ComponentName.tokenizers where folders.contains(folder) {
      if file(folder + "/vocab.json") != nil || file(folder + "/tokenizer.json") != nil { continue }
      let missing = CLIPVocabulary.files(folder: folder).filter { file($0.path) == nil }
      files = (files + missing).sorted { $0.path < $1.path }
    }
  }

  /// Takes the user's word for what the U-Net predicts.
  private mutating func predict(_ name: String) throws {
    guard PredictionType(rawValue: name) != nil else {
      throw JobError("--prediction \(name): known are \(listed(predictionNames))")
    }
    guard scheduler != nil else {
      throw JobError(
        "--prediction: \(location) has no scheduler config that could say it; "
          + "complete the model first")
    }
    scheduler?["prediction_type"] = .string(name)
    provenance["prediction"] = [
      "type": .string(name), "reason": "--prediction says so", "certain": true,
    ]
  }

  /// The model with what it lacks of components, scheduler and files taken from `other`.
  func completed(by other: ModelSource) -> ModelSource {
    var copy = self
    copy.components += other.components.filter { self[$0.name] == nil }
    copy.components.sort { $0.name < $1.name }
    copy.scheduler = scheduler ?? other.scheduler
    copy.files += other.files.filter { file($0.path) == nil }
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
package struct NonfiniteError: Error, Equatable, CustomStringConvertible {
  package let location: String
  package let tensor: String

  package var description: String {
    "\(location): tensor '\(tensor)' holds NaN or infinite numbers, finite ones are expected; "
      + "the file is damaged or its training failed; pass --allow-nonfinite to use it all the same"
  }
}

/// A source whose tensors are refused when they hold NaN or infinities.
struct FiniteSource: WeightSource {
  let base: any WeightSource

  var location: String { base.location }
  var names: [String] { base.names }
  func entry(_ name: String) -> TensorEntry? { base.entry(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    if tensor.hasNonfinite { throw NonfiniteError(location: location, tensor: name) }
    return tensor
  }
}

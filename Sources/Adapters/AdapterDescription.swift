private import Formats
internal import ModelSources
internal import Support
internal import Tensors

/// The facts of an adapter file, such as kinds, ranks and components, without a model.
package struct AdapterDescription: Sendable {
  /// The path of the file; of a folder, the file in it.
  package let path: String
  /// The kind of file: `safetensors file`.
  package let container: String
  /// Modules by kind of adapter, the most frequent first, including kinds that Decant does not
  /// merge.
  package let kinds: [(name: String, modules: Int)]
  /// The kinds of modules, or the method of PEFT, that Decant does not merge.
  package let unmerged: [String]
  /// Modules by rank, the most frequent first. Kinds without a rank are left out.
  package let ranks: [(rank: Int, modules: Int)]
  /// The alphas of the file, smallest first, or that of its settings.
  package let alphas: [Double]
  /// Modules by component, derived from their names; for an adapter of another model, such as Flux, by
  /// kind of model.
  package let components: [(name: String, modules: Int)]
  /// Modules by adapted layer: `to_q`, `ff_net_0_proj`.
  package let targets: [(name: String, modules: Int)]
  /// The width of the U-Net's cross-attention; `nil` where no such layer has a low-rank adapter.
  package let textWidth: Int?
  /// Names of tensors that belong to no adapter.
  package let unknownTensors: [String]
  package let tensors: Int
  package let parameters: Int
  /// The model that the adapter was trained for, where the file states it.
  package let baseModel: String?

  /// - Parameter place: a file, or a folder that diffusers or PEFT saved.
  /// - Throws: ``AdapterError`` for other files, or errors of the file's reader.
  package init(at place: String) throws {
    let file = try AdapterFile(place)
    path = file.path
    container = file.container
    unknownTensors = file.unknownTensors
    tensors = file.weights.names.count
    parameters = file.weights.parameterCount
    baseModel =
      file.settings?.baseModel ?? file.metadata["ss_sd_model_name"]?.string
      ?? file.metadata["ss_base_model_version"]?.string
      ?? file.metadata["modelspec.architecture"]?.string

    func extent(_ tensor: String?, _ axis: Int) -> Int? {
      guard let shape = tensor.flatMap({ file.weights.entry($0)?.shape }), shape.rank > axis else {
        return nil
      }
      return shape[axis]
    }
    var kinds: [String] = []
    var unmerged: Set<String> = []
    var ranks: [Int] = []
    var alphas: Set<Double> = []
    var width: Int?
    for (key, module) in file.modules {
      let own = AdapterKinds.of(module)
      if let refused = file.unmerged(module)?.kind {
        kinds.append(refused)
        unmerged.insert(refused)
      } else {
        kinds.append(own.first?.name ?? "alpha alone")
        switch file.settings?.refusal(of: key, kinds: own) {
        case .methodOfOthers(_, let type, _, let kind):
          unmerged.insert("\(type) with the tensors of \(kind)")
        case .method(_, let type, _): unmerged.insert(type)
        default: break
        }
      }
      let ranked = own.lazy.compactMap(\.ranked).first.flatMap { module.parts[$0] }
      if let rank = extent(ranked, 0) { ranks.append(rank) }
      // An invalid alpha is left out here. `check` and merging refuse it.
      if let name = module.parts[.alpha], file.weights.entry(name)?.shape.count == 1,
        let alpha = try? file.tensor(name).values[0]
      {
        alphas.insert(Double(alpha))
      }
      if Self.flat(module.name).hasSuffix("attn2_to_k"), let inputs = extent(ranked, 1) {
        width = width ?? inputs
      }
    }
    if alphas.isEmpty, let alpha = file.settings?.alpha { alphas.insert(alpha) }
    self.kinds = Self.frequencies(kinds).map { (name: $0, modules: $1) }
    self.unmerged = unmerged.sorted()
    self.ranks = Self.frequencies(ranks).map { (rank: $0, modules: $1) }
    self.alphas = alphas.sorted()
    textWidth = width
    let keys = file.modules.map(\.module.name)
    components = Self.frequencies(keys.map(Self.component)).map { (name: $0, modules: $1) }
    targets = Self.frequencies(keys.map(Self.target)).map { (name: $0, modules: $1) }
  }

  /// Reads every tensor of the file.
  ///
  /// - Parameter progress: called with the bytes read so far and in total.
  /// - Throws: ``AdapterError`` for NaN and infinite numbers, errors of the file's reader, or
  ///   `CancellationError`.
  package static func check(
    _ place: String, progress: (_ done: Int, _ total: Int) -> Void
  ) throws {
    let file = try AdapterFile(place)
    var done = 0
    for name in file.weights.names {
      try Cancellation.check()
      let tensor = try file.weights.tensor(name)
      if tensor.hasNonfinite {
        throw AdapterError.nonfinite(path: file.path, tensor: name)
      }
      done += tensor.byteCount
      progress(done, file.weights.byteCount)
    }
  }

  /// The distinct values with their counts, the most frequent first.
  private static func frequencies<Value: Hashable & Comparable>(
    _ values: [Value]
  ) -> [(Value, Int)] {
    Dictionary(values.map { ($0, 1) }, uniquingKeysWith: +)
      .sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
  }

  /// A module's name with underscores instead of dots, as in kohya's files.
  private static func flat(_ key: String) -> String {
    flattened(key).replacing("_processor_", with: "_")
  }

  /// The component of a module, derived from its name in the file; the kind of model where it is
  /// not a Stable Diffusion model, and `unknown` where it is unclear.
  private static func component(_ key: String) -> String {
    // kohya's names call the transformers of other models a U-Net, too.
    if let kind = AdapterOrigin.foreignKind(of: [key]) { return kind }
    return AdapterNamings.component(of: key)
      ?? (key.hasPrefix(AdapterKeys.transformer) ? "transformer" : "unknown")
  }

  /// The adapted layer of a module: `to_q`.
  private static func target(_ key: String) -> String {
    let name = flat(key)
    return AdapterKeys.targets.first { name.hasSuffix("_" + $0) || name == $0 } ?? "others"
  }
}

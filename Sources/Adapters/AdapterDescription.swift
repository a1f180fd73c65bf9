private import Formats
internal import ModelSources
internal import Support
internal import Tensors

/// What a file of adapters says of itself, without a model to merge it into.
package struct AdapterDescription: Sendable {
  /// The file, where a folder was asked for.
  package let path: String
  /// What kind of file it is: `safetensors file`.
  package let container: String
  /// Modules by kind of adapter, the most frequent first; those that are not merged are named too.
  package let kinds: [(name: String, modules: Int)]
  /// What of it is not merged: kinds of its modules, or PEFT's method.
  package let unmerged: [String]
  /// Modules by rank, the most frequent first; none for kinds without one.
  package let ranks: [(rank: Int, modules: Int)]
  /// Alphas that stand in the file, smallest first, or the one of its settings.
  package let alphas: [Double]
  /// Modules by the component that their names say.
  package let components: [(name: String, modules: Int)]
  /// Modules by what is adapted: `to_q`, `ff_net_0_proj`.
  package let targets: [(name: String, modules: Int)]
  /// Width of the text that the adapted U-Net looks at; `nil` where no such layer is
  /// adapted by a product.
  package let textWidth: Int?
  /// Names of tensors that are no part of an adapter.
  package let strays: [String]
  package let tensors: Int
  package let parameters: Int
  /// The model that it was made for, where the file says so.
  package let baseModel: String?

  /// - Parameter place: a file, or a folder that diffusers or PEFT saved.
  /// - Throws: ``AdapterError`` for what is none, or what opening a file throws.
  package init(at place: String) throws {
    let file = try AdapterFile(place)
    path = file.path
    container = file.container
    strays = file.strays
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
      if let refused = AdapterKeys.unmerged.first(where: { module.has($0.part) })?.kind {
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
      if let part = own.first?.ranked, let rank = extent(module.parts[part], 0) {
        ranks.append(rank)
      }
      // One that is no number is for the check, and for merging, to refuse.
      if let name = module.parts[.alpha], file.weights.entry(name)?.shape.count == 1,
        let alpha = try? file.tensor(name).values[0]
      {
        alphas.insert(Double(alpha))
      }
      let inner = module.parts[.down] ?? module.parts[.firstInner]
      if Self.flat(key).hasSuffix("attn2_to_k"), let inputs = extent(inner, 1) {
        width = width ?? inputs
      }
    }
    if alphas.isEmpty, let alpha = file.settings?.alpha { alphas.insert(alpha) }
    self.kinds = Self.counted(kinds).map { (name: $0, modules: $1) }
    self.unmerged = unmerged.sorted()
    self.ranks = Self.counted(ranks).map { (rank: $0, modules: $1) }
    self.alphas = alphas.sorted()
    textWidth = width
    let keys = file.modules.map(\.key)
    components = Self.counted(keys.map(Self.component)).map { (name: $0, modules: $1) }
    targets = Self.counted(keys.map(Self.target)).map { (name: $0, modules: $1) }
  }

  /// Reads every tensor of the file.
  ///
  /// - Parameter progress: called with bytes read so far, and in all.
  /// - Throws: ``AdapterError`` for NaN and infinite numbers, which are never merged, what reading
  ///   throws, or `CancellationError`.
  package static func check(
    _ place: String, progress: (_ done: Int, _ total: Int) -> Void
  ) throws {
    let file = try AdapterFile(place)
    var done = 0
    for name in file.weights.names {
      try Task.checkCancellation()
      let tensor = try file.weights.tensor(name)
      if tensor.hasNonfinite {
        throw AdapterError.nonfinite(path: file.path, tensor: name)
      }
      done += tensor.byteCount
      progress(done, file.weights.byteCount)
    }
  }

  /// Values with how often each is there, the most frequent first.
  private static func counted<Value: Hashable & Comparable>(
    _ values: [Value]
  ) -> [(Value, Int)] {
    Dictionary(values.map { ($0, 1) }, uniquingKeysWith: +)
      .sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
  }

  /// A module's name with underscores alone, as kohya writes them.
  private static func flat(_ key: String) -> String {
    String(key.map { $0 == "." ? "_" : $0 }).replacing("_processor_", with: "_")
  }

  /// The component that a file's name of a module is of, as far as the name says.
  private static func component(_ key: String) -> String {
    var name = flat(key)
    let wrapper = flat(AdapterKeys.wrapper)
    if name.hasPrefix(wrapper) { name.removeFirst(wrapper.count) }
    let first = ComponentName.textEncoder
    // The second encoder's name begins with the first one's.
    let encoders = zip(ComponentName.textEncoders, AdapterKeys.kohyaTextEncoders).reversed()
    let prefixes =
      encoders.flatMap { [($1, $0), ($0 + "_", $0)] }
      + [(AdapterKeys.kohyaTextEncoder, first), (flat(AdapterKeys.textModel), first)]
      + [AdapterKeys.kohyaUNet, "unet_", "down_blocks_", "up_blocks_", "mid_block_"]
      .map { ($0, ComponentName.unet) } + [("transformer_", "transformer")]
    guard let found = prefixes.first(where: { name.hasPrefix($0.0) })?.1 else { return "unknown" }
    // kohya calls the transformers of other models a U-Net too.
    let isOther = ["double_blocks_", "single_blocks_", "joint_blocks_"].contains {
      name.contains($0)
    }
    return isOther ? "transformer" : found
  }

  private static func target(_ key: String) -> String {
    let name = flat(key)
    return AdapterKeys.targets.first { name.hasSuffix("_" + $0) || name == $0 } ?? "others"
  }
}

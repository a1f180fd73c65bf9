import Formats
import Tensors

/// Computes the change of a weight from the small tensors of an adapter, such as LoRA. A new kind
/// is one file with a type that conforms to this protocol, and one line in ``AdapterKinds/all``.
protocol AdapterKind: Sendable {
  /// The kind's common name.
  var name: String { get }

  /// The `peft_type` of PEFT; `nil` for kinds that PEFT does not have.
  var peftType: String? { get }

  /// Whether a module's tensors are of this kind.
  func recognizes(_ module: AdapterFile.Module) -> Bool

  /// Whether an alpha scales the kind's changes.
  var takesAlpha: Bool { get }

  /// Whether the kind scales the sum of the weight and another kind's change. The module has the
  /// tensors of both.
  var scalesSum: Bool { get }

  /// The part with one row for each rank and one column for each input of the layer; `nil` for
  /// kinds without a rank.
  var ranked: AdapterPart? { get }

  /// Checks that the shapes of the tensors fit together and fit a weight of the shape.
  func check(
    _ module: AdapterFile.Module, key: String, against shape: Shape, in file: AdapterFile
  ) throws(AdapterError)

  /// The numbers to add to a weight, row-major.
  ///
  /// - Parameter weight: the model's own weight, without other adapters.
  func delta(
    _ module: AdapterFile.Module, key: String, of weight: Tensor, in file: AdapterFile
  ) throws -> [Float]

  /// The name of the tensor that changes the module's bias; `nil` where there is none.
  func bias(_ module: AdapterFile.Module) -> String?

  /// The numbers to add to a bias of `count` numbers.
  func biasDelta(
    _ module: AdapterFile.Module, key: String, count: Int, in file: AdapterFile
  ) throws -> [Float]
}

extension AdapterKind {
  var takesAlpha: Bool { true }
  var scalesSum: Bool { false }

  // Adapters of any kind may also change the bias.
  func bias(_ module: AdapterFile.Module) -> String? { module.parts[.biasDifference] }

  func biasDelta(
    _ module: AdapterFile.Module, key: String, count: Int, in file: AdapterFile
  ) throws -> [Float] {
    try file.matrix(module.part(.biasDifference, key: key, in: file), rows: count, row: [])
      .values
  }
}

/// The kinds of adapters that Decant merges.
enum AdapterKinds {
  static let all: [any AdapterKind] = [
    DoRA(),
    LoHa(),
    LoKr(),
    LoRA(),
    FullDifference(),
  ]

  /// The kinds of a module's tensors, derived from their names. One that scales sums comes first.
  static func of(_ module: AdapterFile.Module) -> [any AdapterKind] {
    let kinds = all.filter { $0.recognizes(module) }
    return kinds.isEmpty && module.has(.biasDifference) ? [FullDifference()] : kinds
  }

  /// The kind of the change that a module adds to the weight, before the sum is scaled.
  ///
  /// - Throws: ``AdapterError`` for a module without such a change.
  static func change(
    _ module: AdapterFile.Module, key: String, in file: AdapterFile
  ) throws(AdapterError) -> any AdapterKind {
    guard let kind = of(module).first(where: { !$0.scalesSum }) else {
      throw .incomplete(
        path: file.path, module: key, tensors: module.parts.values.sorted(),
        kinds: all.filter { !$0.scalesSum }.map(\.name))
    }
    return kind
  }

  /// The kind that computes a module's change.
  ///
  /// - Throws: ``AdapterError`` for a module whose tensors match no kind or more than
  ///   one.
  static func merging(
    _ module: AdapterFile.Module, key: String, in file: AdapterFile
  ) throws(AdapterError) -> any AdapterKind {
    let change = try change(module, key: key, in: file)
    let kinds = of(module)
    let changes = kinds.filter { !$0.scalesSum }
    if changes.count > 1 {
      throw .severalKinds(path: file.path, module: key, kinds: changes.map(\.name))
    }
    return kinds.first(where: \.scalesSum) ?? change
  }

  /// The methods of PEFT that Decant merges.
  static let peftTypes = all.compactMap(\.peftType)
}

extension AdapterFile.Module {
  /// The name of the tensor of a part, which must exist.
  func part(_ part: AdapterPart, key: String, in file: AdapterFile) throws(AdapterError) -> String {
    guard let tensor = parts[part] else {
      throw .missing(path: file.path, module: key, part: part)
    }
    return tensor
  }
}

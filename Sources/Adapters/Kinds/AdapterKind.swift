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

  /// The part with one row for each rank and one column for each input of the layer; `nil` for
  /// kinds without a rank.
  var ranked: AdapterPart? { get }

  /// Checks that the shapes of the tensors fit together and fit a weight of the shape.
  func check(
    _ module: AdapterFile.Module, key: String, against shape: Shape, in file: AdapterFile
  ) throws(AdapterError)

  /// The numbers to add to a weight of the shape, row-major.
  func delta(
    _ module: AdapterFile.Module, key: String, of shape: Shape, in file: AdapterFile
  ) throws -> [Float]

  /// The name of the tensor that changes the module's bias; `nil` where there is none.
  func bias(_ module: AdapterFile.Module) -> String?

  /// The numbers to add to a bias of `count` numbers.
  func biasDelta(
    _ module: AdapterFile.Module, key: String, count: Int, in file: AdapterFile
  ) throws -> [Float]
}

extension AdapterKind {
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
    LoHa(),
    LoRA(),
    FullDifference(),
  ]

  /// The kinds of a module's tensors, derived from their names.
  static func of(_ module: AdapterFile.Module) -> [any AdapterKind] {
    let kinds = all.filter { $0.recognizes(module) }
    return kinds.isEmpty && module.has(.biasDifference) ? [FullDifference()] : kinds
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

import Formats
import Tensors

/// One way in which small tensors make the change of a weight. A kind is one file that conforms to
/// this, and one line in ``AdapterKinds/all``.
protocol AdapterKind: Sendable {
  /// What people call it.
  var name: String { get }

  /// PEFT's `peft_type` of it; `nil` for kinds that PEFT does not have.
  var peftType: String? { get }

  /// Whether a module's tensors are of this kind.
  func recognizes(_ module: AdapterFile.Module) -> Bool

  /// The part whose rows are as many as the rank; `nil` for kinds without one.
  var ranked: AdapterPart? { get }

  /// Checks by shapes alone that the tensors fit together, and a weight of that shape.
  ///
  /// - Throws: ``AdapterError`` for tensors that do not.
  func check(
    _ module: AdapterFile.Module, key: String, against shape: Shape, in file: AdapterFile
  ) throws(AdapterError)

  /// What is added to a weight of that shape, row-major.
  func delta(
    _ module: AdapterFile.Module, key: String, of shape: Shape, in file: AdapterFile
  ) throws -> [Float]

  /// The tensor that the change of the module's bias is made of, if there is one.
  func bias(_ module: AdapterFile.Module) -> String?

  /// What is added to a bias of so many numbers.
  func biasDelta(
    _ module: AdapterFile.Module, key: String, count: Int, in file: AdapterFile
  ) throws -> [Float]
}

extension AdapterKind {
  // The change of a bias may stand beside any kind.
  func bias(_ module: AdapterFile.Module) -> String? { module.parts[.biasDifference] }

  func biasDelta(
    _ module: AdapterFile.Module, key: String, count: Int, in file: AdapterFile
  ) throws -> [Float] {
    try file.matrix(module.part(.biasDifference, key: key, in: file), rows: count, columns: 1)
      .values
  }
}

/// The kinds of adapters that are merged, a line each.
enum AdapterKinds {
  static let all: [any AdapterKind] = [
    LoHa(),
    LoRA(),
    FullDifference(),
  ]

  /// The kinds that a module's tensors are of, by their names.
  static func of(_ module: AdapterFile.Module) -> [any AdapterKind] {
    all.filter { $0.recognizes(module) }
  }

  /// The methods of PEFT that are merged.
  static let peftTypes = all.compactMap(\.peftType)
}

extension AdapterFile.Module {
  func part(_ part: AdapterPart, key: String, in file: AdapterFile) throws(AdapterError) -> String {
    guard let tensor = parts[part] else {
      throw .missing(path: file.path, module: key, part: part)
    }
    return tensor
  }
}

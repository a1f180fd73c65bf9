import Formats
import Tensors

/// One way in which small tensors make the change of a weight. A kind is one file that conforms to
/// this, and one line in ``AdapterKinds/all``.
protocol AdapterKind: Sendable {
  /// Whether a module's tensors are of this kind.
  func recognizes(_ module: AdapterFile.Module) -> Bool

  /// What is added to a weight of that shape, row-major.
  ///
  /// - Throws: ``AdapterError`` for tensors that do not fit together, or not the weight.
  func delta(
    _ module: AdapterFile.Module, key: String, of shape: Shape, in file: AdapterFile
  ) throws -> [Float]
}

/// The kinds of adapters that are merged, a line each.
enum AdapterKinds {
  static let all: [any AdapterKind] = [
    LoHa(),
    LoRA(),
    FullDifference(),
  ]
}

extension AdapterFile.Module {
  func part(_ part: AdapterPart, key: String, in file: AdapterFile) throws(AdapterError) -> String {
    guard let tensor = parts[part] else {
      throw .missing(path: file.path, module: key, part: part)
    }
    return tensor
  }
}

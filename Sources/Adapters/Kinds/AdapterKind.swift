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

  /// Kinds that are known and not merged, by a part that only they have.
  static let unmerged = [
    ("dora_scale", "DoRA"), ("lora_magnitude_vector", "DoRA"), ("lokr_w1", "LoKr"),
    ("lokr_w1_a", "LoKr"), ("lokr_w2", "LoKr"), ("lokr_w2_a", "LoKr"), ("oft_blocks", "OFT"),
    ("oft_diag", "OFT"), ("a1.weight", "GLoRA"), ("on_input", "IA3"),
  ]
}

extension AdapterFile.Module {
  func part(_ name: String, key: String, in file: AdapterFile) throws(AdapterError) -> String {
    guard let tensor = parts[name] else {
      throw .missing(path: file.path, module: key, part: name)
    }
    return tensor
  }
}

internal import Support
package import Tensors

/// Named tensors that are read one by one.
///
/// Readers create sources, transforms wrap them, and writers read from them. Names are diffusers'
/// names within one component (`down_blocks.0.resnets.0.conv1.weight`). A transform (casting,
/// stripping, quantizing) is a source over another source that computes each tensor when it is
/// read, so that a conversion streams models of any size.
package protocol WeightSource: Sendable {
  /// The source's name in messages, usually the path of a file.
  var location: String { get }

  /// The names of all tensors, in the order in which writers store them.
  var names: [String] { get }

  /// The shape and encoding of a tensor, without reading it; `nil` where no tensor has the name.
  func entry(_ name: String) -> TensorEntry?

  /// Reads or computes a tensor.
  ///
  /// - Throws: an error that names the file and the tensor.
  func tensor(_ name: String) throws -> StoredTensor

  /// The name of a tensor in the file that it was read from, for messages; `name` where the source
  /// renames nothing. Of a tensor that the source lacks, the name that it would have in the file, as
  /// far as that is known. Of several tensors that a tensor is computed from, the first. A source over
  /// another one asks that one.
  func storedName(_ name: String) -> String
}

extension WeightSource {
  package func storedName(_ name: String) -> String { name }
}

extension WeightSource {
  /// The shapes and encodings of all tensors, in the order of ``names``.
  package var entries: [TensorEntry] { names.compactMap(entry) }

  /// The total count of numbers in all tensors.
  package var parameterCount: Int { entries.reduce(0) { $0 + $1.shape.count } }

  /// The total bytes of all tensors in their encodings.
  package var byteCount: Int { entries.reduce(0) { $0 + $1.byteCount } }

  /// Whether a tensor has codes with scales; `false` where no tensor has the name.
  package func isQuantized(_ name: String) -> Bool { entry(name)?.encoding.isQuantized == true }

  /// Whether any tensor has codes with scales.
  package var hasQuantizedTensors: Bool { names.contains(where: isQuantized) }
}

extension WeightSource {
  /// The error for a tensor that the source does not hold.
  package func absent(_ tensor: String) -> WeightError {
    WeightError(location: location, tensor: tensor, found: "no tensor has this name")
  }
}

/// Tensors in memory.
package struct MemorySource: WeightSource {
  package let location: String
  package let names: [String]
  private let tensors: [String: StoredTensor]

  /// - Precondition: no name occurs twice.
  package init(location: String, _ tensors: [(String, StoredTensor)]) {
    self.location = location
    names = tensors.map(\.0)
    self.tensors = Dictionary(uniqueKeysWithValues: tensors)
  }

  package func entry(_ name: String) -> TensorEntry? { tensors[name]?.entry }

  package func tensor(_ name: String) throws -> StoredTensor {
    guard let tensor = tensors[name] else {
      throw absent(name)
    }
    return tensor
  }
}

/// A tensor that a source lacks, or that differs from what is expected.
package struct WeightError: Error, Equatable, CustomStringConvertible {
  package let location: String
  package let tensor: String
  package let found: String

  package init(location: String, tensor: String, found: String) {
    self.location = location
    self.tensor = tensor
    self.found = found
  }

  package var description: String { "\(location): tensor '\(shown(tensor))': \(found)" }
}

package import Tensors

/// Named tensors, read when they are asked for: the one thing that every reader gives, every
/// transform wraps, and every writer takes.
///
/// Names are diffusers' names within one component (`down_blocks.0.resnets.0.conv1.weight`).
/// A transform (casting, stripping, quantizing) is a source over another source that computes a
/// tensor when it is asked for it, so a conversion streams whatever the model's size.
package protocol WeightSource: Sendable {
  /// How messages name the source: usually a file's path.
  var location: String { get }

  /// Every tensor's name, in a stable order that writers keep.
  var names: [String] { get }

  /// Shape and encoding of a tensor, without reading it; `nil` when there is none of that name.
  func entry(_ name: String) -> TensorEntry?

  /// The tensor.
  ///
  /// - Throws: an error that names the file and the tensor.
  func tensor(_ name: String) throws -> StoredTensor
}

extension WeightSource {
  /// Numbers of all tensors together.
  package var parameterCount: Int { names.reduce(0) { $0 + (entry($1)?.shape.count ?? 0) } }

  /// Bytes of all tensors as they are encoded.
  package var byteCount: Int { names.reduce(0) { $0 + (entry($1)?.byteCount ?? 0) } }
}

extension WeightSource {
  /// What a source throws for a tensor that it does not hold.
  package func absent(_ tensor: String) -> WeightError {
    WeightError(location: location, tensor: tensor, found: "nothing of that name")
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

/// A tensor that a source does not hold, or not as it must be.
package struct WeightError: Error, Equatable, CustomStringConvertible {
  package let location: String
  package let tensor: String
  package let found: String

  package init(location: String, tensor: String, found: String) {
    self.location = location
    self.tensor = tensor
    self.found = found
  }

  package var description: String { "\(location): tensor '\(tensor)': \(found)" }
}

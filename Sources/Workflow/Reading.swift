private import Checkpoints
private import Packfiles
internal import Tensors

/// How a model is read.
package struct ReadingOptions: Sendable {
  /// A variant of a diffusers folder (`fp16`), or `nil` for the plain one.
  package var variant: String?
  /// Whether NaN and infinite weights are accepted.
  package var allowsNonfinite: Bool

  package init(variant: String? = nil, allowsNonfinite: Bool = false) {
    self.variant = variant
    self.allowsNonfinite = allowsNonfinite
  }
}

/// Every layout that models are read from and written to: other people's, and Decant's own.
enum Layouts {
  static let readers: [any ModelReader] = [PackfileLayout()] + Readers.all
  static var writers: [any ModelWriter] { [PackfileWriter()] + Writers.all }
}

extension ModelSource {
  /// The model at `path`, found by looking; its weights are refused when they are NaN or infinite,
  /// unless the options allow them.
  static func reading(_ path: String, _ options: ReadingOptions) throws -> ModelSource {
    let source = try Layouts.readers.read(path, options: ReadOptions(variant: options.variant))
    if options.allowsNonfinite { return source }
    return source.mappingWeights { FiniteSource(base: $0.weights) }
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

package import ModelSources
import Support
package import Tensors

/// A source that stores tensors of another one as several plain tensors, such as codes and scales.
///
/// ``JoinedSource`` is its inverse.
///
/// Each piece reads the whole tensor, so a layer that is quantized as it is read is quantized once
/// for its scales and once for its codes. Safetensors files hold the wide numbers of all tensors
/// first: the scales of every layer precede the codes of the first one. To keep the codes until
/// then would keep the model in memory. The scales alone would not save the second pass, because
/// rounding methods choose codes and scales together.
package struct SplitSource: WeightSource {
  /// One of the tensors that a tensor is stored as.
  package struct Piece {
    let name: String
    let entry: TensorEntry
    let contents: Contents
  }

  enum Contents {
    /// A part of the tensor, by its place in ``StoredTensor/parts``.
    case part(Int)
    case bytes([UInt8])
    case computed(@Sendable (StoredTensor) -> ByteSlice)
  }

  package let names: [String]
  private let base: any WeightSource
  private let pieces: [String: (tensor: String, piece: Piece)]

  /// - Parameter split: the pieces of a tensor; empty for tensors that stay as they are.
  package init(_ base: any WeightSource, split: (_ name: String, _ entry: TensorEntry) -> [Piece]) {
    var names: [String] = []
    var pieces: [String: (tensor: String, piece: Piece)] = [:]
    for name in base.names {
      let parts = base.entry(name).map { split(name, $0) } ?? []
      names += parts.isEmpty ? [name] : parts.map(\.name)
      for piece in parts { pieces[piece.name] = (name, piece) }
    }
    self.base = base
    self.names = names
    self.pieces = pieces
  }

  package var location: String { base.location }

  package func entry(_ name: String) -> TensorEntry? {
    pieces[name]?.piece.entry ?? base.entry(name)
  }

  package func storedName(_ name: String) -> String {
    base.storedName(pieces[name]?.tensor ?? name)
  }

  package func tensor(_ name: String) throws -> StoredTensor {
    guard let (tensor, piece) = pieces[name] else { return try base.tensor(name) }
    let bytes =
      switch piece.contents {
      case .part(let index): try base.tensor(tensor).parts[index]
      case .bytes(let bytes): ByteSlice(bytes)
      case .computed(let compute): compute(try base.tensor(tensor))
      }
    return StoredTensor(shape: piece.entry.shape, encoding: piece.entry.encoding, parts: [bytes])
  }
}

/// A source that joins several plain tensors of another one, such as codes and scales, to one
/// tensor.
struct JoinedSource: WeightSource {
  /// A tensor that several tensors are joined to.
  struct Joint {
    let entry: TensorEntry
    /// The tensors that no longer appear under their own names.
    let taken: [String]
    /// Reads the tensor from the base source.
    let read: @Sendable (any WeightSource) throws -> StoredTensor
  }

  let names: [String]
  private let base: any WeightSource
  private let joints: [String: Joint]

  /// - Parameters:
  ///   - joints: by the name of the joined tensor, which is that of one of the base's.
  ///   - others: further tensors that are left out.
  init(_ base: any WeightSource, joints: [String: Joint], without others: [String] = []) {
    let taken = Set(joints.values.flatMap(\.taken) + others)
    names = base.names.filter { joints[$0] != nil || !taken.contains($0) }
    self.base = base
    self.joints = joints
  }

  var location: String { base.location }

  func entry(_ name: String) -> TensorEntry? { joints[name]?.entry ?? base.entry(name) }

  func storedName(_ name: String) -> String { base.storedName(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    try joints[name]?.read(base) ?? base.tensor(name)
  }
}

private import Foundation
internal import ModelSources
internal import Support
private import Synchronization
internal import Tensors

/// The SHA-256 digest of all weights of a model as a job reads it.
///
/// The job reads the model through ``watched``, which hashes each tensor when it is read for the
/// first time. Tensors that the job does not read are hashed when the digest is requested. The
/// digest therefore covers the whole model, and no tensor is hashed twice.
final class SourceDigest: Sendable {
  /// The model before the job changes it.
  let source: ModelSource
  private let digests = Mutex<[String: [UInt8]]>([:])

  init(_ source: ModelSource) { self.source = source }

  /// The model, with each tensor hashed when it is first read.
  var watched: ModelSource {
    source.mappingWeights { WatchedSource(base: $0.weights, component: $0.name, digest: self) }
  }

  /// SHA-256, in hexadecimal, of the lines `component/tensor digest`, sorted by name.
  ///
  /// - Parameter components: the components to cover; `nil` is all.
  /// - Throws: what reading a tensor throws, or `CancellationError`.
  func hexadecimal(of components: [String]? = nil) throws -> String {
    let covered = source.components.filter { components?.contains($0.name) ?? true }
    let keys = Set(covered.flatMap { part in part.weights.names.map { key(part.name, $0) } })
    try hashUnread(covered)
    let lines = digests.withLock { all in
      all.filter { keys.contains($0.key) }.sorted { $0.key < $1.key }
        .map { "\($0.key) \(hexadecimalText($0.value))\n" }
    }
    return hexadecimalText(SHA256.digest(of: Array(lines.joined().utf8)))
  }

  private func hashUnread(_ components: [ModelSource.Component]) throws {
    let unread = digests.withLock { known in
      components.flatMap { component in
        component.weights.names.filter { known[key(component.name, $0)] == nil }
          .map { (component.name, TensorPlace(source: component.weights, name: $0)) }
      }
    }
    try produceInOrder(costs: unread.map(\.1.cost)) { index in
      let (component, place) = unread[index]
      try add(place.source.tensor(place.name), key(component, place.name))
    } consume: { _, _ in
    }
  }

  /// Hashes a tensor unless a tensor of that key was hashed before.
  fileprivate func add(_ tensor: StoredTensor, _ key: String) {
    if digests.withLock({ $0[key] != nil }) { return }
    let hash = SHA256()
    hash.update(ByteSlice(Array("\(tensor.encoding.name) \(tensor.shape)\n".utf8)))
    for part in tensor.parts { hash.update(part) }
    let digest = hash.finalize()
    digests.withLock { $0[key] = digest }
  }
}

private func key(_ component: String, _ tensor: String) -> String { "\(component)/\(tensor)" }

/// A component's weights that are hashed when they are read.
private struct WatchedSource: WeightSource {
  let base: any WeightSource
  let component: String
  let digest: SourceDigest

  var location: String { base.location }
  var names: [String] { base.names }
  func entry(_ name: String) -> TensorEntry? { base.entry(name) }
  func storedName(_ name: String) -> String { base.storedName(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    digest.add(tensor, key(component, name))
    return tensor
  }
}

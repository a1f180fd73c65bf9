private import Foundation
internal import ModelSources
internal import Support
private import Synchronization
internal import Tensors

/// The SHA-256 digest of every tensor that was read through it, gathered while a conversion
/// streams, so that the source is read once.
final class SourceDigest: Sendable {
  private let digests = Mutex<[String: [UInt8]]>([:])

  func watching(_ component: String, _ base: any WeightSource) -> any WeightSource {
    WatchedSource(base: base, component: component, digest: self)
  }

  /// SHA-256, in hexadecimal, over the lines `component/tensor digest` in the order of names.
  var hexadecimal: String {
    let lines = digests.withLock { all in
      all.sorted { $0.key < $1.key }.map { "\($0.key) \(hexadecimalText($0.value))\n" }
    }
    return hexadecimalText(SHA256.digest(of: Array(lines.joined().utf8)))
  }

  fileprivate func add(_ name: String, _ tensor: StoredTensor) {
    let hash = SHA256()
    hash.update(ByteSlice(Array("\(tensor.encoding.name) \(tensor.shape)\n".utf8)))
    for part in tensor.parts { hash.update(part) }
    let digest = hash.finalize()
    digests.withLock { $0[name] = digest }
  }
}

private struct WatchedSource: WeightSource {
  let base: any WeightSource
  let component: String
  let digest: SourceDigest

  var location: String { base.location }
  var names: [String] { base.names }
  func entry(_ name: String) -> TensorEntry? { base.entry(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    let tensor = try base.tensor(name)
    digest.add("\(component)/\(name)", tensor)
    return tensor
  }
}

internal import Kernels
private import Tensors

/// Uses so many threads for all computing from now on. Results do not depend on it.
package func setThreads(_ count: Int) { Threads.count = count }

/// What a user says of how a model is computed.
package struct Compute: Hashable, Sendable {
  let arithmetic: Arithmetic

  private init(_ arithmetic: Arithmetic) { self.arithmetic = arithmetic }

  /// `nil` when `name` is none of ``names``.
  package init?(name: String) {
    guard let arithmetic = Arithmetic(rawValue: name) else { return nil }
    self.init(arithmetic)
  }

  package static let names = Arithmetic.allCases.map(\.rawValue)
  package static let f32 = Compute(.f32)

  package var name: String { arithmetic.rawValue }
}

internal import Kernels
private import Support

/// Uses so many threads for all computing from now on. Results do not depend on it.
package func setThreads(_ count: Int) { Threads.count = count }

/// Checks what the environment's DECANT_SIMD asks for, the instruction set that kernels keep to.
///
/// - Throws: ``JobError`` when this machine has none of that name.
package func checkInstructionSet(_ asked: String?) throws(JobError) {
  try checkInstructionSet(
    asked, names: InstructionSet.names, available: InstructionSet.available)
}

/// The same on a machine that has those `available` of all the `names`. What cannot be had is refused
/// and not passed over: figures would be of something else than was asked for.
package func checkInstructionSet(
  _ asked: String?, names: [String], available: [String]
) throws(JobError) {
  guard let asked, !asked.isEmpty, !available.contains(asked) else { return }
  guard names.contains(asked) else {
    throw JobError(
      "DECANT_SIMD=\(shown(asked)): there is no such instruction set; known are \(listed(names))")
  }
  throw JobError(
    "DECANT_SIMD=\(asked): this machine has not got it; it has \(listed(available))")
}

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

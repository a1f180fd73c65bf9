internal import Kernels
private import Support

/// Checks the value of the environment variable `DECANT_SIMD`, which limits the kernels to an
/// instruction set.
///
/// - Throws: ``JobError`` when this machine does not support the instruction set.
package func checkInstructionSet(_ name: String?) throws(JobError) {
  try checkInstructionSet(
    name, names: InstructionSet.names, available: InstructionSet.available)
}

/// Checks an instruction set's name on a machine that supports those in `available`. An unsupported
/// one is an error, because measurements would silently be of another instruction set.
package func checkInstructionSet(
  _ name: String?, names: [String], available: [String]
) throws(JobError) {
  guard let name, !name.isEmpty, !available.contains(name) else { return }
  guard names.contains(name) else {
    throw JobError(
      "DECANT_SIMD=\(shown(name)): unknown instruction set; expected \(alternatives(names))")
  }
  throw JobError(
    "DECANT_SIMD=\(name): this machine does not support it; supported are \(listed(available))")
}

/// The arithmetic that a model runs in, by its name on the command line.
package struct Compute: Hashable, Sendable {
  let arithmetic: Arithmetic

  private init(_ arithmetic: Arithmetic) { self.arithmetic = arithmetic }

  /// `nil` when `name` is not in ``names``.
  package init?(name: String) {
    guard let arithmetic = Arithmetic(rawValue: name) else { return nil }
    self.init(arithmetic)
  }

  package static let names = Arithmetic.allCases.map(\.rawValue)
  package static let f32 = Compute(.f32)

  package var name: String { arithmetic.rawValue }
}

/// The numbers of threads that jobs and sessions accept.
package let threadCounts = 1...1024

/// Refuses a number of threads outside ``threadCounts``.
func checkThreads(_ count: Int?) throws(JobError) {
  guard let count, !threadCounts.contains(count) else { return }
  throw JobError(
    "the number of threads is \(count); expected \(threadCounts.lowerBound) to "
      + "\(threadCounts.upperBound)")
}

/// How a session computes.
package struct ComputeSettings: Hashable, Sendable {
  /// The maximum number of threads; `nil` is that of the task, which is one per processor unless a
  /// job sets it. Results do not depend on it.
  package let threads: Int?
  package let compute: Compute

  package init(compute: Compute = .f32) {
    threads = nil
    self.compute = compute
  }

  /// - Throws: ``JobError`` for a number of threads outside ``threadCounts``.
  package init(threads: Int, compute: Compute = .f32) throws(JobError) {
    try checkThreads(threads)
    self.threads = threads
    self.compute = compute
  }
}

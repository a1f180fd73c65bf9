private import CKernels
private import Support

/// Runs `body` with ``Threads/count`` set to `count` for this task alone.
package func withThreads<Result>(_ count: Int, _ body: () throws -> Result) rethrows -> Result {
  try Threads.withCount(count, body)
}

/// Runs `body` with the instruction set limited to `level`, then restores the previous level.
///
/// The limit applies to the calling thread alone. Combine it with `withThreads(1)` where `body`
/// computes on several threads.
///
/// - Parameter level: as in `CKernels.h`; 0 is the portable one. A level that the machine lacks
///   means its best one.
package func withInstructionSet<Result>(
  _ level: Int, _ body: () throws -> Result
) rethrows -> Result {
  let previous = decant_simd_level()
  defer { decant_limit_simd_level(previous) }
  decant_limit_simd_level(Int32(level))
  return try body()
}

/// Runs `body` on one thread for each instruction set that the machine has, with its level: 0, the
/// portable one, first.
package func onEveryInstructionSet(_ body: (Int) throws -> Void) rethrows {
  try withThreads(1) {
    for level in 0...Int(decant_simd_level()) {
      try withInstructionSet(level) { try body(level) }
    }
  }
}

/// The results of `body` on 1, 2 and 3 threads.
package func onEveryThreadCount<Result>(_ body: () throws -> Result) rethrows -> [Result] {
  try (1...3).map { try withThreads($0, body) }
}

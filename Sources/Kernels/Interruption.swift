internal import Support

/// Runs `body`, whose layers and activation functions stop early when the current task is cancelled.
///
/// A step or a decoder at 1024 x 1024 has layers that take seconds. Inside `body`, their threads
/// check for cancellation before each tile, which takes milliseconds. A kernel that stops early
/// returns a tensor with unwritten numbers, which later layers and observers of activations may
/// read; this function then throws, so that its caller never receives them. After an error, results
/// that `body` or an observer keeps elsewhere must not be used.
///
/// Outside of this function, kernels run to their end in a cancelled task too.
///
/// - Throws: what `body` throws, or `CancellationError` if the task was cancelled.
package func interruptible<Result>(_ body: () throws -> Result) throws -> Result {
  let result = try Interruption.$isEnabled.withValue(true, operation: body)
  try Cancellation.check()
  return result
}

/// Decides which units of work begin inside ``interruptible(_:)``.
struct Interruption: Sendable {
  @TaskLocal fileprivate static var isEnabled = false

  /// Called before each unit that would begin, on the unit's thread. The unit is skipped where it
  /// returns `false`. Tests count units with it.
  @TaskLocal static var onUnit: (@Sendable () -> Bool)?

  private let owner: Cancellation.Owner?
  private let onUnit: (@Sendable () -> Bool)?

  /// Calls `body` with the interruption of the current task inside ``interruptible(_:)``, otherwise
  /// with `nil`.
  static func withCurrent(_ body: (Interruption?) -> Void) {
    guard isEnabled else { return body(nil) }
    Cancellation.withOwner { body(Interruption(owner: $0, onUnit: onUnit)) }
  }

  /// Whether the next unit begins: not after the task is cancelled.
  var admitsUnit: Bool {
    if owner?.isCancelled == true { return false }
    return onUnit?() ?? true
  }
}

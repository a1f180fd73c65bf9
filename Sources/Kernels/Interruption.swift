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

/// Sees every unit of work that would begin inside ``interruptible(_:)``, on the unit's thread.
///
/// Tests count units with it: that a layer has many units, and that none begins after a
/// cancellation. Neither shows in a result, and times depend on the machine.
package protocol UnitObserver: Sendable {
  /// Whether the unit begins; otherwise it is skipped.
  func admitsUnit() -> Bool
}

/// Decides which units of work begin inside ``interruptible(_:)``.
package struct Interruption: Sendable {
  @TaskLocal fileprivate static var isEnabled = false

  @TaskLocal package static var observer: (any UnitObserver)?

  private let owner: Cancellation.Owner?
  private let observer: (any UnitObserver)?

  /// Calls `body` with the interruption of the current task inside ``interruptible(_:)``, otherwise
  /// with `nil`.
  static func withCurrent(_ body: (Interruption?) -> Void) {
    guard isEnabled else { return body(nil) }
    Cancellation.withOwner { body(Interruption(owner: $0, observer: observer)) }
  }

  /// Whether the next unit begins: not after the task is cancelled.
  var admitsUnit: Bool {
    if owner?.isCancelled == true { return false }
    return observer?.admitsUnit() ?? true
  }
}

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

enum Interruption {
  @TaskLocal fileprivate static var isEnabled = false

  /// Calls `body` with the task whose cancellation stops kernels early, inside
  /// ``interruptible(_:)``, otherwise with `nil`.
  static func withOwner(_ body: (Cancellation.Owner?) -> Void) {
    isEnabled ? Cancellation.withOwner(body) : body(nil)
  }
}

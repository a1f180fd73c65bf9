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
  let result = try Cancellation.$isChecked.withValue(true, operation: body)
  try Task.checkCancellation()
  return result
}

/// The cancellation of a task, for threads that do not belong to it.
///
/// Unchecked: any thread may read whether a task is cancelled, and ``withCurrent(_:)`` returns while
/// the task exists.
struct Cancellation: @unchecked Sendable {
  @TaskLocal fileprivate static var isChecked = false

  private let task: UnsafeCurrentTask

  /// Whether the task was cancelled. Once true, it stays true.
  var isRequested: Bool { task.isCancelled }

  /// Calls `body` with the cancellation of the current task inside ``interruptible(_:)``, otherwise
  /// with `nil`.
  static func withCurrent(_ body: (Cancellation?) -> Void) {
    guard isChecked else { return body(nil) }
    withUnsafeCurrentTask { body($0.map { Cancellation(task: $0) }) }
  }
}

/// Whether the task that work belongs to is cancelled, on each thread that does the work.
///
/// `Task.isCancelled` is always false on the threads of ``parallel(_:_:)``, because they belong to
/// no task. These threads inherit the task of the caller of `parallel` instead.
package enum Cancellation {
  /// The task of the caller of ``parallel(_:_:)``, on the threads that work for it.
  ///
  /// Unchecked: any thread may read whether a task is cancelled. The task exists as long as the
  /// threads use it, because the caller waits for them.
  package struct Owner: @unchecked Sendable {
    fileprivate let task: UnsafeCurrentTask

    package var isCancelled: Bool { task.isCancelled }
  }

  @TaskLocal private static var inherited: Owner?

  /// Whether the task of this work is cancelled.
  package static var isRequested: Bool {
    withOwner { $0?.isCancelled ?? false }
  }

  /// - Throws: `CancellationError` where the task of this work is cancelled.
  package static func check() throws(CancellationError) {
    if isRequested { throw CancellationError() }
  }

  /// Calls `body` with the current task or, on a thread of ``parallel(_:_:)``, that of the caller.
  package static func withOwner<Result>(_ body: (Owner?) -> Result) -> Result {
    withUnsafeCurrentTask { task in body(task.map { Owner(task: $0) } ?? inherited) }
  }

  /// Runs `body` on behalf of `owner`.
  static func inheriting(_ owner: Owner?, _ body: () -> Void) {
    $inherited.withValue(owner, operation: body)
  }
}

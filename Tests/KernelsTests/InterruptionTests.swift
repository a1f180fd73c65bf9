import Kernels
import Support
import Synchronization
import Tensors
import Testing

/// Counts the units of work that begin, and cancels a task before one of them.
private final class UnitCounter: Sendable {
  private struct State {
    var count = 0
    var task: Task<Void, any Error>?
  }

  private let state = Mutex(State())

  var count: Int { state.withLock { $0.count } }

  /// Counts a unit.
  func add() { state.withLock { $0.count += 1 } }

  /// Counts a unit. The unit with the number `last` cancels the task.
  func add(cancellingAt last: Int) {
    state.withLock {
      $0.count += 1
      if $0.count == last { $0.task?.cancel() }
    }
  }

  func setTask(_ task: Task<Void, any Error>) { state.withLock { $0.task = task } }
}

/// Counts units, and cancels the counter's task at the unit number `last`.
private struct CountingObserver: UnitObserver {
  let counter: UnitCounter
  let admits: Bool
  var last: Int?

  func admitsUnit() -> Bool {
    if let last { counter.add(cancellingAt: last) } else { counter.add() }
    return admits
  }
}

/// `interruptible`.
@Suite(.serialized) struct InterruptionTests {
  /// A layer that takes more than a second on two processors. Its result, which is hardly written,
  /// has up to 1 GB of virtual memory.
  enum Layer: CaseIterable {
    /// The self-attention of SD 1.5's first level at 1024 x 1024, for a batch with guidance.
    case attention
    /// As many multiply-adds as four convolutions of a VAE decoder's last level at 1024 x 1024.
    case winograd, direct, int8
    case projection

    /// A function that computes the layer.
    func prepared() -> @Sendable () -> Void {
      switch self {
      case .attention:
        let x = randomTensor([2, 320, 128 * 128], seed: 1)
        return { _ = Kernels.attention(query: x, key: x, value: x, heads: 8) }
      case .winograd, .direct:
        let x = Tensor(zeros: [1, 256, 256, 256])
        let weight = StoredTensor(Tensor(zeros: [4096, 256, 3, 3]))
        let winograd = self == .winograd
        return { _ = convolve(x, weight: weight, bias: nil, winograd: winograd) }
      case .int8:
        let x = Tensor(zeros: [1, 256, 256, 256])
        let weight = Int8Weight(StoredTensor(Tensor(zeros: [4096, 256, 3, 3])))
        return { _ = convolve(x, weight: weight, bias: nil) }
      case .projection:
        let x = Tensor(zeros: [1, 640, 128 * 128])
        let weight = StoredTensor(Tensor(zeros: [32768, 640]))
        return { _ = project(x, weight: weight, bias: nil, gated: true) }
      }
    }
  }

  /// A unit of a layer that takes seconds takes milliseconds. The units are counted and not run.
  @Test(arguments: Layer.allCases) func longLayersHaveManyUnits(_ layer: Layer) throws {
    let run = layer.prepared()
    let counter = UnitCounter()
    try Interruption.$observer.withValue(CountingObserver(counter: counter, admits: false)) {
      try interruptible { run() }
    }
    #expect(counter.count >= 500, "\(layer)")
  }

  /// After the cancellation, no unit begins but those that another thread was about to begin.
  @Test(arguments: Layer.allCases) func longLayersStopSoon(_ layer: Layer) async throws {
    let run = layer.prepared()
    let (threads, last) = (2, 10)
    let counter = UnitCounter()
    let observer = CountingObserver(counter: counter, admits: true, last: last)
    let ready = AsyncStream<Void>.makeStream()
    let task = Task<Void, any Error> {
      for await _ in ready.stream { break }
      try Threads.withCount(threads) {
        try Interruption.$observer.withValue(observer) { try interruptible { run() } }
      }
    }
    counter.setTask(task)
    ready.continuation.yield()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect((last..<last + threads).contains(counter.count), "\(layer): \(counter.count)")
  }

  /// Runs `body` in a task that is cancelled before.
  private func inCancelledTask<Result: Sendable>(
    _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try body()
    }
    return try await task.value
  }

  /// Functions that change their argument show which numbers a stopped kernel has written: none.
  @Test(arguments: [1, 3]) func stoppedKernelsWriteNothing(threads: Int) async throws {
    let x = randomTensor([2, 4, 300, 300], seed: 1)
    let unwritten = try await inCancelledTask {
      try Threads.withCount(threads) {
        var activated: Tensor?
        var normalized = x
        #expect(throws: CancellationError.self) {
          try interruptible {
            activated = silu(x)
            groupNorm(
              inPlace: &normalized, groups: 2, scale: [1, 2, 3, 4], bias: [1, 2, 3, 4],
              epsilon: 1e-5)
          }
        }
        return [try #require(activated), normalized]
      }
    }
    #expect(unwritten == [x, x])
  }

  @Test func uncancelledKernelsFinish() async throws {
    let x = randomTensor([1, 8, 70], seed: 1)
    let found = try interruptible { attention(query: x, key: x, value: x, heads: 2) }
    #expect(found == attention(query: x, key: x, value: x, heads: 2))
  }

  @Test func kernelsOutsideFinishInACancelledTask() async throws {
    let x = randomTensor([1, 8, 70], seed: 1)
    let expected = attention(query: x, key: x, value: x, heads: 2)
    let found = try await inCancelledTask { attention(query: x, key: x, value: x, heads: 2) }
    #expect(found == expected)
  }

  private struct Refused: Error {}

  @Test func errorsPassThrough() {
    #expect(throws: Refused.self) { try interruptible { throw Refused() } }
  }
}

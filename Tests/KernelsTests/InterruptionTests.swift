import Kernels
import Support
import Tensors
import Testing

/// `interruptible`.
@Suite(.serialized) struct InterruptionTests {
  /// A layer that takes more than a second on two processors. Its result, most of which is never
  /// written, has up to 1 GB of virtual memory.
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

  /// A layer ends within half a second after its task is cancelled.
  @Test(arguments: Layer.allCases) func longLayersStopSoon(_ layer: Layer) async throws {
    let run = layer.prepared()
    let started = AsyncStream<Void>.makeStream()
    // The queue's own thread notes the end. The threads of tests may be busy.
    let task = Task {
      try await ComputeQueue().run {
        started.continuation.yield()
        do {
          while true { try interruptible { run() } }
        } catch is CancellationError {
          return ContinuousClock.now
        }
      }
    }
    for await _ in started.stream { break }
    try await Task.sleep(for: .milliseconds(50))
    let cancelled = ContinuousClock.now
    task.cancel()
    let end = try await task.value
    #expect(end - cancelled < .milliseconds(500), "\(layer)")
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

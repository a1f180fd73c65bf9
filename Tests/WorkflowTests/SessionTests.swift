import Foundation
import Sampling
import Support
import Synchronization
import Tensors
import TestSupport
import Testing
import Verification
import Workflow

/// A model that is loaded once and serves many requests.
@Suite struct SessionTests {
  /// Two steps of one image of 16x16 pixels.
  private func request(
    _ prompts: [String] = ["a red circle"], _ change: (inout GenerateRequest) -> Void = { _ in }
  ) -> GenerateRequest {
    var request = GenerateRequest.standard
    request.prompts = prompts
    request.steps = 2
    // One U-Net call per step.
    request.scheduler = "euler"
    (request.width, request.height) = (16, 16)
    change(&request)
    return request
  }

  private func session(
    _ path: String = tiny, _ settings: ComputeSettings = ComputeSettings()
  ) -> ModelSession {
    ModelSession(path: path, reading: InputOptions(), settings: settings)
  }

  /// The events of requests as texts, in order, without notes.
  private final class EventLog: Sendable {
    private let events = Mutex<[String]>([])

    var all: [String] { events.withLock { $0 } }

    func add(_ event: JobEvent, prefix: String = "") {
      let text: String? =
        switch event {
        case .stage(.reading): "reading"
        case .stage(.loading): "loading"
        case .stage(.generating(let model, let prompt, let count)):
          "generating with \(model), \(prompt) of \(count)"
        case .stage(let stage): "\(stage)"
        case .progress(let done, let total): "\(done) of \(total) done"
        case .latents(let step, let total, let latents):
          "latents \(latents.shape) of step \(step) of \(total)"
        case .note: nil
        }
      if let text { events.withLock { $0.append(prefix + text) } }
    }
  }

  /// The thread counts that events were reported under.
  private final class ThreadCounts: Sendable {
    private let counts = Mutex<Set<Int>>([])

    var all: Set<Int> { counts.withLock { $0 } }
    func addCurrent() { counts.withLock { _ = $0.insert(Threads.count) } }
  }

  /// The latents that were reported last.
  private final class LastLatents: Sendable {
    private let latents = Mutex<Tensor?>(nil)

    var value: Tensor? { latents.withLock { $0 } }
    func set(_ value: Tensor) { latents.withLock { $0 = value } }
  }

  private func expectEqual(
    _ found: [Generation], _ expected: [Generation],
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(found.map(\.latents) == expected.map(\.latents), sourceLocation: sourceLocation)
    #expect(
      found.map { $0.images.map(\.pixels) } == expected.map { $0.images.map(\.pixels) },
      sourceLocation: sourceLocation)
    #expect(found.map(\.parameters) == expected.map(\.parameters), sourceLocation: sourceLocation)
  }

  @Test func twoRequestsOfOneSessionGiveTheResultsOfFreshSessions() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/model"
      try FileManager.default.copyItem(atPath: tiny, toPath: path)
      let first = request()
      let second = request(["a blue square", "a cat"]) {
        $0.seed = 7
        $0.count = 2
      }
      let fresh = [
        try await session(path).generate(first), try await session(path).generate(second),
      ]

      let log = EventLog()
      let shared = session(path)
      expectEqual(try await shared.generate(first) { log.add($0) }, fresh[0])
      // The session needs no file again.
      try FileManager.default.removeItem(atPath: path)
      expectEqual(try await shared.generate(second) { log.add($0) }, fresh[1])
      expectEqual(try await shared.generate(first) { log.add($0) }, fresh[0])
      #expect(fresh[1].map(\.images.count) == [2, 2])
      #expect(fresh[0].map(\.latents) != fresh[1].prefix(1).map(\.latents))
      #expect(
        log.all.filter { !$0.hasSuffix("done") } == [
          "reading", "loading", "generating with model, 0 of 1",
          "generating with model, 0 of 2", "generating with model, 1 of 2",
          "generating with model, 0 of 1",
        ])

      await shared.unload()
      await #expect(throws: (any Error).self) { try await shared.generate(first) }
    }
  }

  @Test func eventsOfAGenerationAreInOrder() async throws {
    let log = EventLog()
    let generated = try await session().generate(request()) { log.add($0) }
    #expect(
      log.all == [
        "reading", "loading", "generating with pipeline, 0 of 1", "1 of 3 done", "2 of 3 done",
        "3 of 3 done",
      ])
    #expect(generated.count == 1)
    #expect(generated[0].images.map(\.width) == [16])
    #expect(generated[0].parameters.map(\.prompt) == ["a red circle"])
  }

  @Test func latentsAreReportedAfterEachStepOnRequest() async throws {
    let log = EventLog()
    let last = LastLatents()
    let generated = try await session().generate(request(), reportsLatents: true) { event in
      log.add(event)
      if case .latents(_, _, let latents) = event { last.set(latents) }
    }
    let shape = "\(generated[0].latents.shape)"
    #expect(
      log.all == [
        "reading", "loading", "generating with pipeline, 0 of 1",
        "latents \(shape) of step 1 of 2", "1 of 3 done",
        "latents \(shape) of step 2 of 2", "2 of 3 done", "3 of 3 done",
      ])
    #expect(last.value == generated[0].latents)
    expectEqual(generated, try await session().generate(request()))
  }

  @Test func requestsRunOneAfterAnother() async throws {
    let log = EventLog()
    let shared = session()
    let request = request { $0.steps = 4 }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for name in ["a", "b", "c"] {
        group.addTask {
          _ = try await shared.generate(request) { log.add($0, prefix: name + ": ") }
        }
      }
      try await group.waitForAll()
    }
    // All events of a request, then all of the next.
    let names = log.all.compactMap(\.first)
    let changes = zip(names, names.dropFirst()).filter { $0 != $1 }.count
    #expect(changes == 2, "\(log.all)")
    #expect(log.all.filter { $0.hasSuffix(": reading") }.count == 1)
    #expect(log.all.filter { $0.hasSuffix("5 of 5 done") }.count == 3)
  }

  /// Holds a request in its first step until ``open()``.
  private struct Gate {
    private let begun = AsyncStream<Void>.makeStream()
    private let opened = DispatchSemaphore(value: 0)

    /// An event sink of the request. It blocks the thread that computes.
    func events(_ event: JobEvent) {
      guard case .progress = event else { return }
      begun.continuation.yield()
      opened.wait()
      opened.signal()
    }

    func waitForFirstStep() async { for await _ in begun.stream { break } }
    func open() { opened.signal() }
  }

  @Test func aCancelledRequestEndsAndTheNextIsServed() async throws {
    let shared = session()
    let expected = try await shared.generate(request())
    let gate = Gate()
    let long = request { $0.steps = 900 }
    let log = EventLog()
    let task = Task {
      try await shared.generate(long) { event in
        log.add(event)
        gate.events(event)
      }
    }
    await gate.waitForFirstStep()
    task.cancel()
    gate.open()
    await #expect(throws: CancellationError.self) { try await task.value }
    // It ends in the step after the first.
    let steps = log.all.filter { $0.hasSuffix(" of 901 done") }
    #expect((1...2).contains(steps.count), "\(steps)")
    expectEqual(try await shared.generate(request()), expected)
  }

  /// A request that waits for another one ends when it is cancelled, not when its turn comes.
  @Test func aCancelledRequestLeavesTheQueueAtOnce() async throws {
    let shared = session()
    let expected = try await shared.generate(request())
    let (log, gate) = (EventLog(), Gate())
    let long = request { $0.steps = 900 }
    let running = Task {
      defer { log.add(.stage(.checking("the end of the long request"))) }
      _ = try await shared.generate(long, gate.events)
    }
    await gate.waitForFirstStep()
    let short = request()
    let cancelled = Task {
      try await shared.generate(short) { log.add($0, prefix: "cancelled: ") }
    }
    let patient = Task { try await shared.generate(short) { log.add($0, prefix: "patient: ") } }
    // Time to join the queue. Without it the test passes too, but proves less.
    try await Task.sleep(for: .milliseconds(20))
    cancelled.cancel()
    await #expect(throws: CancellationError.self) { try await cancelled.value }
    #expect(log.all.isEmpty)
    running.cancel()
    gate.open()
    await #expect(throws: CancellationError.self) { try await running.value }
    expectEqual(try await patient.value, expected)
    #expect(!log.all.contains { $0.hasPrefix("cancelled") })
  }

  /// Cancelling many requests in any order leaves a queue that serves the others.
  @Test func aQueueSurvivesManyCancellations() async throws {
    let shared = session()
    let request = request { $0.steps = 1 }
    let served = try await withThrowingTaskGroup(of: Int.self) { group in
      for index in 0..<24 {
        group.addTask {
          let task = Task { try await shared.generate(request) }
          if index % 3 != 0 { task.cancel() }
          do {
            _ = try await task.value
            return 1
          } catch is CancellationError {
            return 0
          }
        }
      }
      return try await group.reduce(0, +)
    }
    // A request may be served before its task is cancelled.
    #expect(served >= 8)
    #expect(try await shared.generate(request).count == 1)
  }

  /// A cancelled task's request to release the model is carried out.
  @Test func unloadingIsNotCancelled() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/model"
      try FileManager.default.copyItem(atPath: tiny, toPath: path)
      let shared = session(path)
      _ = try await shared.generate(request())
      try FileManager.default.removeItem(atPath: path)
      await Task {
        withUnsafeCurrentTask { $0?.cancel() }
        await shared.unload()
      }.value
      await #expect(throws: (any Error).self) { try await shared.generate(request()) }
    }
  }

  @Test func aRequestOfACancelledTaskReadsNothing() async {
    let log = EventLog()
    let request = request()
    let session = session()
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try await session.generate(request) { log.add($0) }
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(log.all.isEmpty)
  }

  /// Events are reported on the session's thread, so that they see its settings.
  @Test func sessionsHaveTheirOwnThreadCounts() async throws {
    let outside = Threads.count
    let request = request { $0.steps = 8 }
    let results = try await withThrowingTaskGroup(of: (Int, Set<Int>, [Generation]).self) { group in
      for threads in [1, 2, 5] {
        let session = session(tiny, try ComputeSettings(threads: threads))
        group.addTask {
          let seen = ThreadCounts()
          let generated = try await session.generate(request) { _ in seen.addCurrent() }
          return (threads, seen.all, generated)
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    for (threads, seen, generated) in results {
      #expect(seen == [threads])
      expectEqual(generated, results[0].2)
    }
    #expect(Threads.count == outside)
  }

  @Test func aJobHasItsOwnThreadCount() async throws {
    try await withTemporaryFolder { folder in
      let seen = ThreadCounts()
      _ = try await GenerateJob(
        models: [tiny], reading: InputOptions(), compute: .f32, request: request(),
        output: folder + "/a.png", grid: nil, latentsOutput: nil, replacing: false
      ).run(threads: 3) { _ in seen.addCurrent() }
      // The job's session inherits the count.
      #expect(seen.all == [3])
    }
  }

  @Test func sessionsHaveTheirOwnArithmetic() async throws {
    let compute = try #require(Compute(name: "int8"))
    let exact = try await session().generate(request())
    let rounded = try await session(tiny, ComputeSettings(compute: compute)).generate(request())
    #expect(exact[0].latents != rounded[0].latents)
  }

  @Test func aSessionInspectsItsModel() async throws {
    let log = EventLog()
    let shared = session()
    let inspection = try await shared.inspect { log.add($0) }
    let expected = try await InspectJob(
      model: tiny, reading: InputOptions(), listsTensors: false, checks: false
    ).run()
    #expect(inspection.json == expected.json)
    _ = try await shared.generate(request()) { log.add($0) }
    #expect(log.all.filter { $0 == "reading" }.count == 1)
  }

  @Test func twoSessionsAreCompared() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/small.decant"
      _ = try await QuantizeJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: path), isDryRun: false,
        request: QuantizationRequest(type: "int4-g64"), calibration: nil
      ).run()
      let (reference, small) = (session(), session(path))
      let request = request(["a red circle", "a cat"])
      let same = try await reference.compare(with: reference, request)
      #expect(same.map(\.comparison.isIdentical) == [true, true])
      let compared = try await reference.compare(with: small, request)
      #expect(compared.map(\.comparison.isIdentical) == [false, false])
      #expect(compared.map(\.reference.pixels) == same.map(\.reference.pixels))
      let generated = try await small.generate(request)
      #expect(compared.map(\.candidate.pixels) == generated.flatMap(\.images).map(\.pixels))
    }
  }

  @Test func openingReadsNothing() async throws {
    let log = EventLog()
    let absent = session("/nonexistent/model")
    await #expect(throws: (any Error).self) {
      try await absent.generate(request { $0.scheduler = "unknown" }) { log.add($0) }
    }
    #expect(log.all.isEmpty)
    await #expect(throws: (any Error).self) { try await absent.inspect { log.add($0) } }
    #expect(log.all == ["reading"])
  }
}

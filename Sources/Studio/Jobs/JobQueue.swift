import Support
import Synchronization
import Workflow

/// Runs jobs one at a time, in the order in which they arrive, and keeps what they made.
///
/// Functions return at once. Those who follow a job get its events; who does not read them gets the
/// newest ones.
///
/// Events are sent while the state is locked, so that their order is that of the changes. Sending one
/// takes the lock of the task that receives it, and cancelling a task holds that lock while its handlers
/// run. Handlers of cancellations therefore lock the state in tasks of their own.
final class JobQueue: Sendable {
  private struct State {
    var jobs: [String: StudioJob] = [:]
    /// All jobs, in the order of arrival.
    var order: [String] = []
    var waiting: [String] = []
    var running: (id: String, task: Task<Void, Never>)?
    var arrivals = 0
    var followers = 0
    var isClosed = false
  }

  private let state = Mutex(State())
  let limits: StudioLimits
  /// The first part of each identifier, so that a job of an earlier process is not mistaken for one of
  /// this process.
  private let prefix = hexadecimalText(UInt32.random(in: 0 ... .max))
  private let runner: JobRunner

  init(_ runner: JobRunner, limits: StudioLimits) {
    self.runner = runner
    self.limits = limits
  }

  // MARK: - For clients

  /// Adds a job.
  ///
  /// - Returns: its identifier.
  /// - Throws: ``RequestError`` when too many jobs wait, or the server stops.
  func add(_ work: StudioWork) throws(RequestError) -> String {
    let id = try state.withLock { state throws(RequestError) in
      if state.isClosed { throw RequestError(.unavailable, "the server is stopping") }
      guard state.waiting.count < limits.waitingJobs else {
        throw RequestError(
          .tooManyRequests, "\(counted(state.waiting.count, "job")) are waiting already",
          headers: [("retry-after", "\(Self.retrySeconds(state))")])
      }
      state.arrivals += 1
      let id = "\(prefix)-\(state.arrivals)"
      state.jobs[id] = StudioJob(id: id, work: work)
      state.order.append(id)
      state.waiting.append(id)
      removeOld(&state)
      startNext(&state)
      return id
    }
    watch(id)
    return id
  }

  /// When to try again, in whole seconds: an estimate of the end of the running job, 1 to 600.
  private static func retrySeconds(_ state: State) -> Int {
    let left = state.running.flatMap { state.jobs[$0.id]?.progress.secondsLeft } ?? 5
    return Int(max(1, min(600, left.rounded(.up))))
  }

  /// The description of a job; `nil` for an unknown one. Asking for it keeps the job from being
  /// cancelled as abandoned.
  func description(of id: String) -> JSONValue? {
    state.withLock { state in
      state.jobs[id]?.lastSeen = .now
      return state.jobs[id].map { $0.json(position: Self.position(of: id, state)) }
    }
  }

  /// The descriptions of all jobs, newest first.
  func descriptions() -> [JSONValue] {
    state.withLock { state in
      state.order.reversed().compactMap { id in
        state.jobs[id].map { $0.json(position: Self.position(of: id, state)) }
      }
    }
  }

  /// A copy of a job.
  func job(_ id: String) -> StudioJob? { state.withLock { $0.jobs[id] } }

  /// The job that runs; `nil` while none does.
  func runningJob() -> (job: StudioJob, waiting: Int)? {
    state.withLock { state in
      guard let id = state.running?.id, let job = state.jobs[id] else { return nil }
      return (job, state.waiting.count)
    }
  }

  /// Cancels a job. It ends within one layer of the model. A finished job stays as it is.
  ///
  /// - Returns: whether there is such a job.
  @discardableResult func cancel(_ id: String) -> Bool {
    let task = state.withLock { state -> Task<Void, Never>?? in
      guard state.jobs[id] != nil else { return .none }
      if let place = state.waiting.firstIndex(of: id) {
        state.waiting.remove(at: place)
        end(id, .cancelled, &state)
      }
      return .some(state.running?.id == id ? state.running?.task : nil)
    }
    guard let task else { return false }
    task?.cancel()
    return true
  }

  /// Removes a finished job and its images, or cancels one that is not finished.
  ///
  /// - Returns: whether there is such a job.
  func remove(_ id: String) -> Bool {
    let isRemoved = state.withLock { state -> Bool in
      guard let job = state.jobs[id], job.state.isFinished else { return false }
      forget(id, &state)
      return true
    }
    return isRemoved || cancel(id)
  }

  /// The events of a job: its state now, then each change, until it ends. `nil` for an unknown job.
  func events(of id: String) -> AsyncStream<ServerSentEvent>? {
    // A follower who is slow misses previews, and gets the last event.
    let (stream, continuation) = AsyncStream.makeStream(
      of: ServerSentEvent.self, bufferingPolicy: .bufferingNewest(32))
    let number = state.withLock { state -> Int? in
      guard let job = state.jobs[id] else { return nil }
      let now = job.json(position: Self.position(of: id, state))
      continuation.yield(ServerSentEvent("state", now))
      if job.state.isFinished {
        continuation.yield(ServerSentEvent("end", now))
        continuation.finish()
        return -1
      }
      state.followers += 1
      state.jobs[id]?.followers[state.followers] = continuation
      return state.followers
    }
    guard let number else { return nil }
    if number > 0 {
      continuation.onTermination = { [weak self] _ in Task { self?.unfollow(id, number) } }
    }
    return stream
  }

  /// Waits for the end of a job. Cancelling the task cancels the job.
  ///
  /// - Returns: the job at its end.
  /// - Throws: ``RequestError`` where the job failed or was cancelled.
  func result(of id: String) async throws(RequestError) -> StudioJob {
    await withTaskCancellationHandler {
      if let events = events(of: id) { for await _ in events {} }
    } onCancel: {
      Task { self.cancel(id) }
    }
    guard let job = job(id), job.state == .done else {
      throw job(id)?.failure ?? RequestError(.conflict, "the job was cancelled")
    }
    return job
  }

  /// Cancels all jobs and accepts no others.
  func close() async {
    let (ids, task) = state.withLock { state in
      state.isClosed = true
      return (state.waiting + [state.running?.id].compactMap { $0 }, state.running?.task)
    }
    for id in ids { cancel(id) }
    await task?.value
  }

  private static func position(of id: String, _ state: State) -> Int {
    state.waiting.firstIndex(of: id).map { $0 + (state.running == nil ? 0 : 1) } ?? 0
  }

  // MARK: - Following

  private func unfollow(_ id: String, _ number: Int) {
    state.withLock { state in
      state.jobs[id]?.followers[number] = nil
      state.jobs[id]?.lastSeen = .now
    }
  }

  /// Keeps connections of followers open, and cancels the job when nobody follows it or has asked for
  /// it for some time.
  private func watch(_ id: String) {
    Task { [weak self, limits] in
      while true {
        try? await Task.sleep(for: limits.abandonment / 4)
        guard let self else { return }
        let isAbandoned = self.state.withLock { state -> Bool? in
          guard let job = state.jobs[id], !job.state.isFinished else { return nil }
          for follower in job.followers.values { follower.yield(.comment) }
          return job.followers.isEmpty && .now - job.lastSeen >= limits.abandonment
        }
        guard let isAbandoned else { return }
        if isAbandoned { self.cancel(id) }
      }
    }
  }

  /// Changes a job, and tells its followers.
  func update(_ id: String, event: String, _ change: (inout StudioJob) -> JSONValue?) {
    state.withLock { state in
      guard var job = state.jobs[id] else { return }
      let data = change(&job)
      state.jobs[id] = job
      guard let data else { return }
      for follower in job.followers.values { follower.yield(ServerSentEvent(event, data)) }
    }
  }

  // MARK: - Running

  /// Starts the job that waits longest if none runs.
  private func startNext(_ state: inout State) {
    guard state.running == nil, !state.waiting.isEmpty else { return }
    let id = state.waiting.removeFirst()
    state.jobs[id]?.state = .running
    state.jobs[id]?.started = .now
    let task = Task { await self.run(id) }
    state.running = (id, task)
    tellStates(&state)
  }

  private func run(_ id: String) async {
    var end = StudioJob.State.done
    var failure: RequestError?
    if let work = job(id)?.work {
      do {
        try await runner.run(work) { event, change in self.update(id, event: event, change) }
      } catch is CancellationError {
        end = .cancelled
      } catch {
        end = .failed
        failure = JobRunner.requestError(error)
      }
    }
    state.withLock { state in
      state.jobs[id]?.failure = failure
      state.running = nil
      self.end(id, end, &state)
      startNext(&state)
    }
  }

  /// Ends a job and tells its followers.
  private func end(_ id: String, _ end: StudioJob.State, _ state: inout State) {
    guard var job = state.jobs[id] else { return }
    job.state = end
    job.seconds = job.started.map { (.now - $0).seconds }
    job.preview = nil
    for index in job.results.indices { job.results[index].pixels = [] }
    let followers = job.followers.values
    job.followers = [:]
    state.jobs[id] = job
    let data = job.json(position: 0)
    for follower in followers {
      follower.yield(ServerSentEvent("end", data))
      follower.finish()
    }
    removeOld(&state)
    tellStates(&state)
  }

  /// Tells the followers of jobs that wait or have just begun where those are.
  private func tellStates(_ state: inout State) {
    for id in state.waiting + [state.running?.id].compactMap({ $0 }) {
      guard let job = state.jobs[id] else { continue }
      let event = ServerSentEvent("state", job.json(position: Self.position(of: id, state)))
      for follower in job.followers.values { follower.yield(event) }
    }
  }

  /// Removes the oldest finished jobs beyond the limits. The newest one stays.
  private func removeOld(_ state: inout State) {
    var finished = state.order.filter { state.jobs[$0]?.state.isFinished == true }
    var bytes = finished.reduce(0) { $0 + (state.jobs[$1]?.imageBytes ?? 0) }
    while finished.count > 1, finished.count > limits.finishedJobs || bytes > limits.finishedBytes {
      let id = finished.removeFirst()
      bytes -= state.jobs[id]?.imageBytes ?? 0
      forget(id, &state)
    }
  }

  private func forget(_ id: String, _ state: inout State) {
    state.jobs[id] = nil
    state.order.removeAll { $0 == id }
  }
}

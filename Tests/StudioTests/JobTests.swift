import Foundation
import Studio
import Support
import Synchronization
import Testing

/// The queue of jobs.
@Suite struct JobTests {
  private func add(_ service: Service, steps: Int = 2) async throws -> String {
    let (status, value) = try await service.json(
      "POST", "/api/generate", json: ["prompt": "a cat", "steps": .integer(steps), "seed": 1])
    #expect(status == .accepted)
    return try #require(value.object?["id"]?.string)
  }

  private func state(_ service: Service, _ id: String) async throws -> String? {
    try await service.json("GET", "/api/jobs/\(id)").value.object?["state"]?.string
  }

  /// Waits until a job has that state.
  private func wait(_ service: Service, _ id: String, for expected: String) async throws {
    for _ in 0..<2000 {
      if try await state(service, id) == expected { return }
      try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("the job never was \(expected)")
  }

  @Test func eventsTellStepsPreviewsAndTheEnd() async throws {
    let gate = Gate()
    let service = try Service([FakeGenerator(gate: gate)])
    let id = try await add(service)
    try await wait(service, id, for: "running")
    async let all = service.events(id)
    try await Task.sleep(for: .milliseconds(20))
    gate.open()
    let events = try await all
    #expect(events.first?.name == "state" && events.last?.name == "end")
    #expect(events.last?.data.object?["state"]?.string == "done")
    let steps = events.filter { $0.name == "step" }.compactMap(\.data.object)
    #expect(steps.last?["step"]?.integer == 2 && steps.last?["steps"]?.integer == 2)
    let preview = try #require(steps.last?["preview"]?.string)
    #expect(preview.hasPrefix("data:image/png;base64,"))
    #expect((steps.last?["seconds_per_step"]?.number ?? -1) >= 0)
    let images = events.filter { $0.name == "image" }.compactMap(\.data.object)
    let image = try #require(images.first)
    #expect(image["progress"]?.object?["images_done"]?.integer == 1)
    // The job that ended is described by its last event.
    let late = try await service.events(id)
    #expect(late.map(\.name) == ["state", "end"])
  }

  @Test func aFullQueueRefuses() async throws {
    let gate = Gate()
    var limits = StudioLimits()
    limits.waitingJobs = 2
    let service = try Service([FakeGenerator(gate: gate)], limits: limits)
    var ids: [String] = []
    for _ in 0..<3 { ids.append(try await add(service)) }
    let response = try await service.send("POST", "/api/generate", json: ["prompt": "a cat"])
    #expect(response.status == .tooManyRequests)
    #expect(response.reason == "2 jobs are waiting already")
    let seconds = Int(response.headers["retry-after"] ?? "") ?? 0
    #expect((1...600).contains(seconds))
    // Programs of the other APIs are refused too.
    let other = try await service.send(
      "POST", "/v1/images/generations", json: ["prompt": "a cat"])
    #expect(other.status == .tooManyRequests && other.headers["retry-after"] != nil)
    let waiting = try await service.json("GET", "/api/jobs/\(ids[2])").value
    #expect(waiting.object?["state"]?.string == "queued")
    #expect(waiting.object?["position"]?.integer == 2)
    gate.open()
    for id in ids {
      let end = try await service.end(id)
      #expect(end["state"]?.string == "done")
    }
  }

  @Test func jobsAreCancelled() async throws {
    let service = try Service([FakeGenerator(gate: Gate())])
    let (running, waiting) = (try await add(service), try await add(service))
    try await wait(service, running, for: "running")
    #expect(try await service.send("DELETE", "/api/jobs/\(waiting)").status == .noContent)
    #expect(try await state(service, waiting) == "cancelled")
    #expect(try await service.send("DELETE", "/api/jobs/\(running)").status == .noContent)
    try await wait(service, running, for: "cancelled")
    // The job that waited never began.
    #expect(service.generators[0].requests.withLock { $0.count } == 1)
  }

  @Test func aJobThatNobodyFollowsIsCancelled() async throws {
    var limits = StudioLimits()
    limits.abandonment = .milliseconds(80)
    let service = try Service([FakeGenerator(gate: Gate())], limits: limits)
    let id = try await add(service)
    // Looking at the list does not keep a job.
    for _ in 0..<2000 {
      let jobs = try await service.json("GET", "/api/jobs").value.object?["jobs"]?.array
      if jobs?.first?.object?["state"]?.string == "cancelled" { break }
      try await Task.sleep(for: .milliseconds(5))
    }
    #expect(try await state(service, id) == "cancelled")
  }

  @Test func aFollowedJobGoesOnUntilTheFollowerGoes() async throws {
    var limits = StudioLimits()
    limits.abandonment = .seconds(2)
    let service = try Service([FakeGenerator(gate: Gate())], limits: limits)
    let id = try await add(service)
    let follower = Task { try await service.events(id) }
    try await Task.sleep(for: .seconds(3))
    #expect(try await state(service, id) == "running")
    follower.cancel()
    _ = try? await follower.value
    for _ in 0..<2000 {
      let jobs = try await service.json("GET", "/api/jobs").value.object?["jobs"]?.array
      if jobs?.first?.object?["state"]?.string == "cancelled" { return }
      try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("the job goes on")
  }

  /// A client that waits for its images and goes away takes its job with it.
  @Test func cancellingARequestCancelsItsJob() async throws {
    let service = try Service([FakeGenerator(gate: Gate())])
    let request = Task {
      try await service.send("POST", "/sdapi/v1/txt2img", json: ["prompt": "a cat"])
    }
    for _ in 0..<2000 where service.generators[0].requests.withLock({ $0.isEmpty }) {
      try await Task.sleep(for: .milliseconds(5))
    }
    request.cancel()
    let response = try await request.value
    #expect(response.status == .conflict)
    let jobs = try await service.json("GET", "/api/jobs").value.object?["jobs"]?.array
    let id = try #require(jobs?.first?.object?["id"]?.string)
    try await wait(service, id, for: "cancelled")
  }

  @Test func oldJobsAreForgotten() async throws {
    var limits = StudioLimits()
    limits.finishedJobs = 2
    let service = try Service([FakeGenerator()], limits: limits)
    var ids: [String] = []
    for _ in 0..<4 {
      let job = try await service.finished(["prompt": "a cat"])
      ids.append(try #require(job["id"]?.string))
    }
    let jobs = try await service.json("GET", "/api/jobs").value.object?["jobs"]?.array ?? []
    #expect(jobs.map { $0.object?["id"]?.string } == [ids[3], ids[2]])
    limits.finishedBytes = 1
    limits.finishedJobs = 100
    let small = try Service([FakeGenerator()], limits: limits)
    for _ in 0..<3 { _ = try await small.finished(["prompt": "a cat"]) }
    // The newest one stays.
    #expect(try await small.json("GET", "/api/jobs").value.object?["jobs"]?.array?.count == 1)
  }

  @Test func closingCancelsEverything() async throws {
    let service = try Service([FakeGenerator(gate: Gate())])
    let (running, waiting) = (try await add(service), try await add(service))
    await service.service.close()
    #expect(try await state(service, running) == "cancelled")
    #expect(try await state(service, waiting) == "cancelled")
    let response = try await service.send("POST", "/api/generate", json: ["prompt": "a cat"])
    #expect(response.status == .unavailable && response.reason == "the server is stopping")
  }

  @Test func eventsAreSentAsText() async throws {
    let events = try await Service([FakeGenerator()]).finishedEvents()
    for event in events {
      let text = String(decoding: event.bytes(asChunk: false), as: UTF8.self)
      let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
      #expect(lines.count == 4 && lines[2].isEmpty && lines[3].isEmpty, "\(text)")
      #expect(lines[0] == "event: \(event.name)" && lines[1].hasPrefix("data: {"))
      let chunk = event.bytes(asChunk: true)
      let size = String(text.utf8.count, radix: 16)
      #expect(String(decoding: chunk, as: UTF8.self) == "\(size)\r\n\(text)\r\n")
    }
  }
}

extension Service {
  fileprivate func finishedEvents() async throws -> [ServerSentEvent] {
    let job = try await finished(["prompt": "line\nbreak"])
    return try await events(try #require(job["id"]?.string))
  }
}

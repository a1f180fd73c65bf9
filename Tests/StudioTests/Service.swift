import Foundation
import Sampling
import Studio
import Support
import Synchronization
import Tensors
import Testing
import Workflow

/// A generator without a model: gray images whose level is the seed, after steps that report latents.
final class FakeGenerator: ImageGenerator {
  /// The requests that the generator got, in their order.
  let requests = Mutex<[GenerateRequest]>([])
  let unloads = Mutex(0)
  private let level: Int
  private let failure: (any Error)?
  /// Each step waits for it, where there is one.
  private let gate: Gate?

  /// - Parameter level: added to the seed, so that models differ.
  init(level: Int = 0, failure: (any Error)? = nil, gate: Gate? = nil) {
    self.level = level
    self.failure = failure
    self.gate = gate
  }

  func generate(
    _ request: GenerateRequest, reportsLatents: Bool, _ events: @escaping EventSink
  ) async throws -> [Generation] {
    requests.withLock { $0.append(request) }
    events(.stage(.generating(model: "fake", prompt: 0, of: 1)))
    events(.note("the prompt is short"))
    if let failure { throw failure }
    let latents = Tensor(zeros: [1, 4, 2, 2])
    for step in 1...request.steps {
      try Cancellation.check()
      if reportsLatents { events(.latents(step: step, total: request.steps, latents)) }
      await gate?.pass()
    }
    try Cancellation.check()
    let (width, height) = (request.width ?? 8, request.height ?? 8)
    let gray = UInt8(truncatingIfNeeded: Int(request.seed) + level)
    let image = Image(width: width, height: height, red: gray, green: gray, blue: gray)
    let parameters = GenerationParameters(
      prompt: request.prompts[0], negativePrompt: request.negativePrompt ?? "",
      steps: request.steps, sampler: "Euler", guidanceScale: request.guidanceScale,
      seed: request.seed, width: width, height: height, model: "fake")
    return [Generation(images: [image], latents: latents, parameters: [parameters])]
  }

  func preview(of latents: Tensor) -> Image? {
    Image(width: 2, height: 2, red: 1, green: 2, blue: 3)
  }

  func unload() async { unloads.withLock { $0 += 1 } }
}

/// Lets steps pass once it is open, or when their task is cancelled.
final class Gate: Sendable {
  private let isOpen = Mutex(false)

  func open() { isOpen.withLock { $0 = true } }

  func pass() async {
    while !isOpen.withLock({ $0 }), !Cancellation.isRequested {
      try? await Task.sleep(for: .milliseconds(1))
    }
  }
}

/// A service of fake models, 16 x 16 pixels by default.
struct Service {
  let service: StudioService
  let generators: [FakeGenerator]
  let host: String

  init(
    _ generators: [FakeGenerator] = [FakeGenerator(), FakeGenerator(level: 10)],
    names: [String] = ["full", "small"], host: String = "127.0.0.1", token: String? = nil,
    origins: [String] = [], limits: StudioLimits = StudioLimits()
  ) throws {
    var limits = limits
    // A busy machine may take longer between two requests of a test than clients do.
    if limits.abandonment == StudioLimits().abandonment { limits.abandonment = .seconds(600) }
    let settings = try StudioSettings(
      host: host, port: 7860, token: token, allowedOrigins: origins, limits: limits,
      machineName: "workstation")
    let models = zip(names, generators).map { name, generator in
      StudioModel(
        name: name,
        facts: ModelFacts(
          name: name, family: "sd-v1-4", familyTitle: "Stable Diffusion 1.4",
          size: ImageSize(width: 16, height: 16), sideFactor: 8, steps: 3, guidanceScale: 7.5,
          scheduler: "euler", parameters: 1000, fileBytes: 5000),
        description: ["family": "sd-v1-4"], generator: generator)
    }
    service = StudioService(models: models, settings: settings) { work, _ in
      ["machine": "fake", "models": .array(work.models.map { .integer($0) })]
    }
    self.generators = generators
    self.host = "localhost:7860"
  }

  func send(
    _ method: String, _ target: String, json: JSONValue? = nil, body: [UInt8]? = nil,
    headers: [(String, String)] = []
  ) async throws -> HTTPResponse {
    var all = headers
    if !headers.contains(where: { $0.0.lowercased() == "host" }) { all.append(("Host", host)) }
    if json != nil, !headers.contains(where: { $0.0.lowercased() == "content-type" }) {
      all.append(("Content-Type", "application/json"))
    }
    let bytes = body ?? json.map { [UInt8]($0.text().utf8) } ?? []
    return await service.respond(
      to: try HTTPRequest(method: method, target: target, headers: HTTPHeaders(all), body: bytes))
  }

  /// The JSON of an answer, with its status.
  func json(
    _ method: String, _ target: String, json: JSONValue? = nil, headers: [(String, String)] = []
  ) async throws -> (status: HTTPStatus, value: JSONValue) {
    let response = try await send(method, target, json: json, headers: headers)
    return (response.status, try response.json)
  }

  /// Adds a job and waits for its end.
  func finished(_ settings: JSONValue, at path: String = "/api/generate") async throws -> JSONObject
  {
    let added = try await json("POST", path, json: settings)
    #expect(added.status == .accepted, "\(added.value.text())")
    let id = try #require(added.value.object?["id"]?.string)
    return try await end(id)
  }

  /// The description of a job at its end.
  func end(_ id: String) async throws -> JSONObject {
    let events = try await events(id)
    let last = try #require(events.last)
    #expect(last.name == "end")
    return try #require(last.data.object)
  }

  /// All events of a job, without comments.
  func events(_ id: String) async throws -> [ServerSentEvent] {
    let response = try await send("GET", "/api/jobs/\(id)/events")
    guard case .events(let stream) = response.body else { return [] }
    var events: [ServerSentEvent] = []
    for await event in stream where !event.name.isEmpty { events.append(event) }
    return events
  }
}

extension HTTPResponse {
  var bytes: [UInt8] { if case .bytes(let bytes) = body { bytes } else { [] } }

  var json: JSONValue {
    get throws { try JSONValue(parsing: String(decoding: bytes, as: UTF8.self)) }
  }

  /// The reason of a refusal by Decant's own API.
  var reason: String? {
    let error = (try? json)?.object?["error"]?.object
    return error?["reason"]?.string
  }
}

import Support
private import Workflow

/// Answers requests: the page, Decant's own API, and those of A1111 and OpenAI.
///
/// It knows nothing of sockets. A server passes each request to ``respond(to:)`` and sends the answer.
package final class StudioService: Sendable {
  let models: [StudioModel]
  let settings: StudioSettings
  let jobs: JobQueue
  let facts: StudioFacts
  let page: StudioPage
  /// What programs of A1111's API have chosen.
  let options: A1111Options
  private let access: Access

  /// - Precondition: there is a model, and names of models differ.
  package init(models: [StudioModel], settings: StudioSettings, bench: @escaping BenchRunner) {
    precondition(
      !models.isEmpty && Set(models.map(\.name)).count == models.count, "\(models.map(\.name))")
    self.models = models
    self.settings = settings
    facts = StudioFacts(models: models, limits: settings.limits)
    jobs = JobQueue(JobRunner(models: models, bench: bench), limits: settings.limits)
    access = Access(settings)
    page = StudioPage()
    options = A1111Options()
  }

  /// Cancels all jobs and waits for the end of the one that runs.
  package func close() async { await jobs.close() }

  /// Answers a request. Cancelling the task cancels a job whose end the request waits for.
  package func respond(to request: HTTPRequest) async -> HTTPResponse {
    var readableOrigin: String?
    var response: HTTPResponse
    do {
      readableOrigin = try access.checkSource(request)
      response =
        request.method == "OPTIONS" && readableOrigin != nil
        ? Self.preflight : try await route(request)
    } catch {
      response = error.response(Route.Group.of(request.path).errors)
    }
    if let readableOrigin {
      response.add("access-control-allow-origin", readableOrigin)
      response.add("vary", "Origin")
    }
    for (name, value) in Self.commonHeaders { response.add(name, value) }
    return response
  }

  private static let preflight = HTTPResponse(
    .noContent,
    headers: [
      ("access-control-allow-methods", "GET, POST, DELETE"),
      ("access-control-allow-headers", "Authorization, Content-Type"),
      ("access-control-max-age", "600"),
    ])

  private static let commonHeaders = [
    ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
  ]

  private func route(_ request: HTTPRequest) async throws(RequestError) -> HTTPResponse {
    let segments = try request.segments
    var methods: [String] = []
    for route in Routes.all {
      guard let parameters = route.match(segments) else { continue }
      // A client may ask for the headers of an answer alone; the server leaves the body out.
      guard route.method == request.method || (route.method == "GET" && request.method == "HEAD")
      else {
        methods.append(route.method)
        continue
      }
      if !route.isPublic { try access.checkToken(request) }
      let query = try route.queryValues(request)
      let body = try body(of: request, for: route)
      return try await route.respond(
        self, RouteRequest(request: request, parameters: parameters, query: query, body: body))
    }
    if methods.isEmpty {
      throw RequestError(.notFound, "there is nothing at \(shown(request.path))")
    }
    if methods.contains("GET") { methods.append("HEAD") }
    throw RequestError(
      .methodNotAllowed, "\(shown(request.method)) is not possible at \(shown(request.path))",
      headers: [("allow", methods.joined(separator: ", "))])
  }

  /// The body, checked with the route's schema.
  private func body(
    of request: HTTPRequest, for route: Route
  ) throws(RequestError) -> JSONObject {
    guard let schema = route.body else { return JSONObject() }
    let value = try request.json
    try schema(facts).check(value)
    return value.object ?? JSONObject()
  }

  // MARK: - For routes

  /// The index of a model.
  ///
  /// - Throws: ``RequestError`` for an unknown name.
  func model(named name: String) throws(RequestError) -> Int {
    if let index = models.firstIndex(where: { $0.name == name }) { return index }
    throw RequestError(
      .notFound,
      "the model \(shown(name)) is unknown\(didYouMean(similarNames(to: name, among: facts.models)))"
        + "; expected \(alternatives(facts.models, limit: 20))", parameter: "model")
  }
}

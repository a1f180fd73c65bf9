import Support
import Workflow

/// A route: what it takes, what it answers, and the function that answers. Requests are checked with
/// the same value that the OpenAPI document is made of.
struct Route: Sendable {
  /// What a body holds, by the models and limits of the server.
  typealias BodySchema = @Sendable (StudioFacts) -> Schema

  /// What a route answers when all goes well.
  enum Answer: Sendable {
    case json(HTTPStatus, BodySchema)
    case none
    case png
    case html
    case events
  }

  /// A group of routes in the document.
  enum Group: String, CaseIterable, Sendable {
    case page = "Page"
    case own = "Decant"
    case a1111 = "A1111"
    case openAI = "OpenAI"

    /// The first part of the paths of a group.
    private var prefix: String {
      switch self {
      case .page: "/"
      case .own: "/api/"
      case .a1111: "/sdapi/"
      case .openAI: "/v1/"
      }
    }

    var errors: ErrorShape {
      switch self {
      case .page, .own: .own
      case .a1111: .a1111
      case .openAI: .openAI
      }
    }

    /// The group that a path belongs to, also where it has no route.
    static func of(_ path: String) -> Group {
      allCases.last { path.hasPrefix($0.prefix) } ?? .page
    }
  }

  let method: String
  /// With parameters in braces: `/api/jobs/{id}`.
  let path: String
  let group: Group
  let summary: String
  /// The parameters of the path: their names and what they mean.
  let parameters: [String: String]
  /// The parameters of the query.
  let query: [Schema.Member]
  let body: BodySchema?
  let answer: Answer
  /// Whether the route answers without the token.
  let isPublic: Bool
  let respond: @Sendable (StudioService, RouteRequest) async throws(RequestError) -> HTTPResponse

  init(
    _ method: String, _ path: String, _ group: Group, _ summary: String,
    parameters: [String: String] = [:], query: [Schema.Member] = [], body: BodySchema? = nil,
    answer: Answer, isPublic: Bool = false,
    _ respond:
      @escaping @Sendable (StudioService, RouteRequest) async throws(RequestError) -> HTTPResponse
  ) {
    self.method = method
    self.path = path
    self.group = group
    self.summary = summary
    self.parameters = parameters
    self.query = query
    self.body = body
    self.answer = answer
    self.isPublic = isPublic
    self.respond = respond
  }

  /// The values of the parameters in a path; `nil` where the path is of another route.
  func match(_ segments: [String]) -> [String: String]? {
    let parts = path.split(separator: "/")
    guard parts.count == segments.count else { return nil }
    var values: [String: String] = [:]
    for (part, segment) in zip(parts, segments) {
      if part.hasPrefix("{") {
        values[String(part.dropFirst().dropLast())] = segment
      } else if part != segment {
        return nil
      }
    }
    return values
  }

  /// The values of the query's parameters.
  ///
  /// - Throws: ``RequestError`` for an unknown parameter, one that occurs twice, or another kind of
  ///   value.
  func queryValues(_ request: HTTPRequest) throws(RequestError) -> JSONObject {
    var values = JSONObject()
    for (name, text) in request.query {
      guard let member = query.first(where: { $0.name == name }) else {
        throw RequestError(
          .badRequest, "the parameter \(shown(name)) is unknown", parameter: name)
      }
      if values[name] != nil {
        throw RequestError(.badRequest, "the parameter \(name) occurs twice", parameter: name)
      }
      let value = member.schema.value(ofText: text)
      try member.schema.check(value, at: name)
      values[name] = value
    }
    return values
  }
}

extension Schema {
  /// A text of a query as the value that the schema expects; the text itself where it is none.
  fileprivate func value(ofText text: String) -> JSONValue {
    switch self {
    case .boolean: text == "true" ? true : text == "false" ? false : .string(text)
    case .integer: Int(text).map { .integer($0) } ?? .string(text)
    default: .string(text)
    }
  }
}

/// A request of a route, after its checks.
struct RouteRequest: Sendable {
  let request: HTTPRequest
  let parameters: [String: String]
  let query: JSONObject
  /// The body; empty where the route takes none.
  let body: JSONObject

  /// A parameter of the path.
  ///
  /// - Precondition: the route has one of that name.
  subscript(name: String) -> String {
    guard let value = parameters[name] else { preconditionFailure("no parameter \(name)") }
    return value
  }
}

/// What schemas depend on.
struct StudioFacts: Sendable {
  /// The names of the models.
  let models: [String]
  let limits: StudioLimits
  /// Sides of images are multiples of it, for each model.
  let sideFactor: Int
  /// The sizes that the models were trained on, each once.
  let sizes: [ImageSize]

  init(models: [StudioModel], limits: StudioLimits) {
    self.models = models.map(\.name)
    self.limits = limits
    sideFactor = models.map(\.facts.sideFactor).max() ?? 8
    var sizes: [ImageSize] = []
    for size in models.map(\.facts.size) where !sizes.contains(size) { sizes.append(size) }
    self.sizes = sizes
  }

  var modelName: Schema { .names(models) }
  var side: Schema { .integer(sideFactor...max(sideFactor, limits.side), multipleOf: sideFactor) }
  var steps: Schema { .integer(1...limits.steps) }
  var count: Schema { .integer(1...limits.images) }
  var prompt: Schema { .string(most: limits.promptLength) }
  /// -1 is a random seed. Larger numbers are not exact in JavaScript.
  var seed: Schema { .integer(-1...9_007_199_254_740_991) }
  var guidanceScale: Schema { .number(0...100) }
  /// An image as PNG in base64, also as a `data:` URL.
  var image: Schema { .string(most: limits.bodyBytes) }
}

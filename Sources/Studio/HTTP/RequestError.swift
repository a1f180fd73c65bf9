package import Support

/// Why a request is not carried out. The description states the facts for the client.
package struct RequestError: Error, Equatable, CustomStringConvertible {
  package let status: HTTPStatus
  package let description: String
  /// The member or parameter that the error is about.
  let parameter: String?
  /// What the client can do, for programs.
  let remedy: Remedy?
  /// Headers of the answer.
  private let headerPairs: [[String]]

  package init(
    _ status: HTTPStatus, _ description: String, parameter: String? = nil, remedy: Remedy? = nil,
    headers: [(String, String)] = []
  ) {
    self.status = status
    self.description = description
    self.parameter = parameter
    self.remedy = remedy
    headerPairs = headers.map { [$0.0, $0.1] }
  }

  var headers: [(String, String)] { headerPairs.map { ($0[0], $0[1]) } }

  /// The answer in the shape of an API.
  func response(_ shape: ErrorShape) -> HTTPResponse {
    HTTPResponse(status, json: shape.json(of: self), headers: headers)
  }
}

/// How an API reports errors.
enum ErrorShape: Sendable {
  /// Decant's own: `{"error": {"reason", "parameter", "remedy"}}`.
  case own
  /// A1111's: `{"error", "detail", "body", "errors"}`.
  case a1111
  /// OpenAI's: `{"error": {"message", "type", "param", "code"}}`.
  case openAI

  func json(of error: RequestError) -> JSONValue {
    let parameter = error.parameter.map { JSONValue.string($0) } ?? .null
    switch self {
    case .own:
      return [
        "error": [
          "reason": .string(error.description), "parameter": parameter,
          "remedy": error.remedy?.json ?? .null,
        ]
      ]
    case .a1111:
      return [
        "error": .string(error.status.phrase), "detail": .string(error.description), "body": "",
        "errors": .string(error.description),
      ]
    case .openAI:
      return [
        "error": [
          "message": .string(error.description),
          "type": error.status.rawValue < 500 ? "invalid_request_error" : "server_error",
          "param": parameter, "code": .null,
        ]
      ]
    }
  }

  /// The shape for the OpenAPI document.
  var schema: Schema {
    let nullableText = Schema.nullable(.string())
    switch self {
    case .own:
      return .object([
        .required(
          "error",
          .object([
            .required("reason", .string(), "What was found and what was expected."),
            .required("parameter", nullableText, "The member or parameter that it is about."),
            .required(
              "remedy", .any, "What to do, as settings and values; null where there is none."),
          ]))
      ])
    case .a1111:
      return .object([
        .required("error", .string()), .required("detail", .string(), "The reason."),
        .required("body", .string()), .required("errors", .string()),
      ])
    case .openAI:
      return .object([
        .required(
          "error",
          .object([
            .required("message", .string()), .required("type", .string()),
            .required("param", nullableText), .required("code", nullableText),
          ]))
      ])
    }
  }
}

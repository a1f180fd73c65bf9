import Support
private import Workflow

/// The OpenAPI 3.1 document of the routes.
enum OpenAPI {
  static func document(_ routes: [Route], facts: StudioFacts, needsToken: Bool) -> JSONValue {
    var paths = JSONObject()
    for route in routes {
      var item = paths[route.path]?.object ?? JSONObject()
      item[route.method.lowercased()] = .object(
        operation(route, facts: facts, needsToken: needsToken))
      paths[route.path] = .object(item)
    }
    var document: JSONObject = [
      "openapi": "3.1.0",
      "info": [
        "title": "Decant", "version": .string(toolVersion),
        "description": "Generates images with Stable Diffusion models, on the processor.",
      ],
      "tags": .array(Route.Group.allCases.map { ["name": .string($0.rawValue)] }),
      "paths": .object(paths),
    ]
    if needsToken {
      document["components"] = [
        "securitySchemes": [
          "bearer": ["type": "http", "scheme": "bearer"],
          "basic": ["type": "http", "scheme": "basic"],
        ]
      ]
    }
    return .object(document)
  }

  private static func operation(
    _ route: Route, facts: StudioFacts, needsToken: Bool
  ) -> JSONObject {
    let words = route.path.split { !$0.isLetter && !$0.isNumber }
    var operation: JSONObject = [
      "operationId": .string(([route.method.lowercased()[...]] + words).joined(separator: "_")),
      "summary": .string(route.summary), "tags": .strings([route.group.rawValue]),
    ]
    let parameters = parameters(route)
    if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
    if let body = route.body {
      operation["requestBody"] = [
        "required": true, "content": ["application/json": ["schema": body(facts).json]],
      ]
    }
    var responses = JSONObject()
    let (status, content) = answer(route.answer, facts: facts)
    var success: JSONObject = ["description": .string(status.phrase)]
    if let content { success["content"] = content }
    responses["\(status.rawValue)"] = .object(success)
    responses["default"] = [
      "description": "The request was not carried out, for the reason that is stated.",
      "content": ["application/json": ["schema": route.group.errors.schema.json]],
    ]
    operation["responses"] = .object(responses)
    if needsToken, !route.isPublic {
      operation["security"] = [["bearer": []], ["basic": []]]
    }
    return operation
  }

  private static func parameters(_ route: Route) -> [JSONValue] {
    let ofPath = route.parameters.sorted { $0.key < $1.key }.map { name, about -> JSONValue in
      [
        "name": .string(name), "in": "path", "required": true, "description": .string(about),
        "schema": ["type": "string"],
      ]
    }
    let ofQuery = route.query.map { member -> JSONValue in
      [
        "name": .string(member.name), "in": "query", "required": false,
        "description": .string(member.about), "schema": member.schema.json,
      ]
    }
    return ofPath + ofQuery
  }

  private static func answer(
    _ answer: Route.Answer, facts: StudioFacts
  ) -> (HTTPStatus, JSONValue?) {
    func content(_ type: String, _ schema: JSONValue) -> JSONValue { [type: ["schema": schema]] }
    let text: JSONValue = ["type": "string"]
    switch answer {
    case .json(let status, let schema):
      return (status, content("application/json", schema(facts).json))
    case .none: return (.noContent, nil)
    case .png: return (.ok, content("image/png", ["type": "string", "format": "binary"]))
    case .html: return (.ok, content("text/html", text))
    case .events:
      // The schema is that of one event.
      let event: JSONValue = [
        "type": "object", "properties": ["event": text, "data": text],
        "required": ["event", "data"],
      ]
      return (.ok, content("text/event-stream", event))
    }
  }
}

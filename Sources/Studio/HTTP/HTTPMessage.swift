package import Support

/// A request of a client, independent of the library that reads it from a socket.
package struct HTTPRequest: Sendable {
  /// In upper case: `GET`.
  package let method: String
  /// The path without the query, percent-encoded as it was sent.
  package let path: String
  /// Names and values of the query, decoded, in the order of the request.
  package let query: [(name: String, value: String)]
  package let headers: HTTPHeaders
  package let body: [UInt8]

  /// - Parameter target: the path and the query, percent-encoded: `/api/jobs?limit=3`.
  /// - Throws: ``RequestError`` where the target is not a path, or an escape in it is invalid.
  package init(
    method: String, target: String, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = []
  ) throws(RequestError) {
    guard target.hasPrefix("/") else {
      throw RequestError(.badRequest, "the target \(shown(target)) is not a path")
    }
    let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    self.method = method
    path = String(parts[0])
    var query: [(String, String)] = []
    for pair in parts.count > 1 ? parts[1].split(separator: "&") : [] {
      let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let value = sides.count > 1 ? sides[1] : ""
      query.append((try Self.decoded(sides[0]), try Self.decoded(value)))
    }
    self.query = query
    self.headers = headers
    self.body = body
  }

  /// The parts of the path between slashes, decoded.
  var segments: [String] {
    get throws(RequestError) {
      var segments: [String] = []
      for part in path.split(separator: "/") { segments.append(try Self.decoded(part)) }
      return segments
    }
  }

  /// The body as JSON.
  ///
  /// - Throws: ``RequestError`` where the body is not declared as JSON, or is not JSON.
  var json: JSONValue {
    get throws(RequestError) {
      let type = headers["content-type"]?.split(separator: ";").first.map(String.init) ?? ""
      guard type.lowercased().filter({ $0 != " " }) == "application/json" else {
        throw RequestError(
          .unsupportedMediaType,
          "the body is \(type.isEmpty ? "of no stated type" : shown(type)), expected application/json"
        )
      }
      do { return try JSONValue(parsing: ByteSlice(body).bytes) } catch {
        throw RequestError(.badRequest, "the body is not JSON: \(error)")
      }
    }
  }

  /// Replaces `%xx` by the byte, and `+` by a space.
  private static func decoded(_ text: Substring) throws(RequestError) -> String {
    var bytes: [UInt8] = []
    var rest = ArraySlice(Array(text.utf8))
    while let byte = rest.popFirst() {
      switch byte {
      case UInt8(ascii: "%"):
        guard let high = digit(rest.popFirst()), let low = digit(rest.popFirst()) else {
          throw RequestError(.badRequest, "\(shown(String(text))): invalid percent-encoding")
        }
        bytes.append(high << 4 | low)
      case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
      default: bytes.append(byte)
      }
    }
    do { return try String(fileText: bytes) } catch {
      throw RequestError(.badRequest, "\(shown(String(text))): the decoded text is \(error)")
    }
  }

  private static func digit(_ byte: UInt8?) -> UInt8? {
    byte.flatMap { Character(Unicode.Scalar($0)).hexDigitValue }.map { UInt8($0) }
  }
}

/// The headers of a message. Names are compared without regard to case.
package struct HTTPHeaders: Sendable, Equatable {
  package struct Field: Sendable, Equatable {
    /// In lower case.
    package let name: String
    package let value: String
  }

  package private(set) var fields: [Field] = []

  package init(_ fields: [(String, String)] = []) {
    for (name, value) in fields { add(name, value) }
  }

  package mutating func add(_ name: String, _ value: String) {
    fields.append(Field(name: name.lowercased(), value: value))
  }

  /// The value of the first header of a name in lower case.
  package subscript(name: String) -> String? {
    fields.first { $0.name == name }?.value
  }

  /// The values of all headers of a name in lower case.
  package func values(_ name: String) -> [String] {
    fields.filter { $0.name == name }.map(\.value)
  }
}

/// The answer to a request.
package struct HTTPResponse: Sendable {
  package enum Body: Sendable {
    case bytes([UInt8])
    /// Server-sent events, until the stream ends. A client that goes away ends the iteration.
    case events(AsyncStream<ServerSentEvent>)
  }

  package let status: HTTPStatus
  package private(set) var headers: HTTPHeaders
  package let body: Body

  init(_ status: HTTPStatus, headers: [(String, String)] = [], body: Body = .bytes([])) {
    self.status = status
    self.headers = HTTPHeaders(headers)
    self.body = body
  }

  init(_ status: HTTPStatus = .ok, json: JSONValue, headers: [(String, String)] = []) {
    self.init(
      status, headers: [("content-type", "application/json")] + headers,
      body: .bytes([UInt8](json.text().utf8)))
  }

  init(png: [UInt8], name: String) {
    self.init(
      .ok,
      headers: [
        ("content-type", "image/png"), ("content-disposition", "inline; filename=\"\(name)\""),
        ("cache-control", "private, max-age=3600, immutable"),
      ], body: .bytes(png))
  }

  /// Adds a header.
  package mutating func add(_ name: String, _ value: String) { headers.add(name, value) }
}

/// A status code of HTTP.
package enum HTTPStatus: Int, Sendable {
  case ok = 200
  case accepted = 202
  case noContent = 204
  case badRequest = 400
  case unauthorized = 401
  case forbidden = 403
  case notFound = 404
  case methodNotAllowed = 405
  case requestTimeout = 408
  case conflict = 409
  case contentTooLarge = 413
  case unsupportedMediaType = 415
  case misdirected = 421
  case unprocessable = 422
  case tooManyRequests = 429
  case headersTooLarge = 431
  case serverError = 500
  case unavailable = 503

  /// The phrase of RFC 9110.
  package var phrase: String {
    switch self {
    case .ok: "OK"
    case .accepted: "Accepted"
    case .noContent: "No Content"
    case .badRequest: "Bad Request"
    case .unauthorized: "Unauthorized"
    case .forbidden: "Forbidden"
    case .notFound: "Not Found"
    case .methodNotAllowed: "Method Not Allowed"
    case .requestTimeout: "Request Timeout"
    case .conflict: "Conflict"
    case .contentTooLarge: "Content Too Large"
    case .unsupportedMediaType: "Unsupported Media Type"
    case .misdirected: "Misdirected Request"
    case .unprocessable: "Unprocessable Content"
    case .tooManyRequests: "Too Many Requests"
    case .headersTooLarge: "Request Header Fields Too Large"
    case .serverError: "Internal Server Error"
    case .unavailable: "Service Unavailable"
    }
  }
}

/// An event of a `text/event-stream` (HTML Standard, section 9.2).
package struct ServerSentEvent: Sendable, Equatable {
  /// The event's type; empty for a comment, which keeps the connection open and which clients ignore.
  package let name: String
  package let data: JSONValue

  init(_ name: String, _ data: JSONValue) {
    self.name = name
    self.data = data
  }

  static let comment = ServerSentEvent("", .null)

  /// The event as it is sent. JSON text has no line breaks, so the data is one line.
  package var text: String {
    name.isEmpty ? ":\n\n" : "event: \(name)\ndata: \(data.text())\n\n"
  }
}

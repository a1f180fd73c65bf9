package import Support

/// Who may call the server, and how much one request may ask for.
package struct StudioSettings: Sendable {
  /// The address that the server listens on: an IP address or `localhost`.
  package let host: String
  package let port: Int
  /// The secret that requests must carry; `nil` where none is needed.
  package let token: String?
  /// Origins of pages on other servers that may call this one: `https://example.org`.
  package let allowedOrigins: [String]
  package let limits: StudioLimits
  /// The name of this machine, which clients may have in their `Host` header.
  let machineName: String?

  /// - Throws: ``StudioSettingsError`` where the address can be reached from other machines and no
  ///   token is set.
  package init(
    host: String = Self.standardHost, port: Int = Self.standardPort, token: String? = nil,
    allowedOrigins: [String] = [], limits: StudioLimits = StudioLimits(), machineName: String? = nil
  ) throws(StudioSettingsError) {
    self.host =
      host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
    self.port = port
    self.token = token
    self.allowedOrigins = allowedOrigins.map { $0.lowercased() }
    self.limits = limits
    self.machineName = machineName
    if let token, token.isEmpty { throw .emptyToken }
    if token == nil, !isLoopback { throw .noToken(host: host) }
    for origin in self.allowedOrigins where Origin(origin) == nil { throw .origin(origin) }
  }

  package static let standardHost = "127.0.0.1"
  package static let standardPort = 7860

  /// Whether only programs on this machine reach the address.
  var isLoopback: Bool { Self.isLoopback(host) }

  static func isLoopback(_ host: String) -> Bool {
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    let isIPv4 = parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    return host == "localhost" || host == "::1" || isIPv4 && parts[0] == "127"
  }
}

/// Bounds of requests.
package struct StudioLimits: Sendable {
  /// The longest side of an image in pixels.
  package var side = 1024
  package var steps = 150
  /// The most images of one request.
  package var images = 8
  /// The most bytes of a request's body. Images in it are in base64.
  package var bodyBytes = 24_000_000
  /// The most pixels of an image in a request.
  package var imagePixels = 16_777_216
  /// The most characters of a prompt.
  package var promptLength = 4000
  /// The most jobs that wait.
  package var waitingJobs = 16
  /// The most finished jobs that are kept, and the most bytes of their images.
  package var finishedJobs = 100
  package var finishedBytes = 256_000_000
  /// A job is cancelled when nobody has followed it or asked for it for this time.
  package var abandonment: Duration = .seconds(20)

  package init() {}
}

/// Settings with which the server is not started.
package enum StudioSettingsError: RemediableError, Equatable {
  case noToken(host: String)
  case emptyToken
  case origin(String)

  package var description: String {
    switch self {
    case .noToken(let host):
      "\(shown(host)) can be reached from other machines, and no token is set"
    case .emptyToken: "the token is empty"
    case .origin(let origin):
      "the origin \(shown(origin)) is not a scheme and a host, such as https://example.org"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .noToken, .emptyToken: .choose(.token)
    case .origin: nil
    }
  }
}

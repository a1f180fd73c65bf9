private import Support

/// A scheme, host and port, as a browser states where a page comes from (RFC 6454).
struct Origin: Equatable, Sendable {
  let scheme: String
  /// The host, with the port if one is stated: `localhost:7860`.
  let authority: String

  /// `nil` where the text is no origin, such as `null`.
  init?(_ text: String) {
    let parts = text.lowercased().split(separator: "://", maxSplits: 1)
    guard parts.count == 2, ["http", "https"].contains(String(parts[0])),
      Authority(String(parts[1])) != nil
    else { return nil }
    scheme = String(parts[0])
    authority = String(parts[1])
  }
}

/// A host with an optional port, as in a `Host` header.
struct Authority: Equatable, Sendable {
  /// In lower case, without the brackets of an IPv6 address.
  let host: String
  let port: Int?
  /// Whether the host is an IP address. Such a host cannot be a name that an attacker controls.
  let isAddress: Bool

  init?(_ text: String) {
    var host = text.lowercased()
    var port: Int?
    let colon = host.lastIndex(of: ":")
    if let colon, !host.hasSuffix("]") {
      guard let number = UInt16(host[host.index(after: colon)...]) else { return nil }
      port = Int(number)
      host = String(host[..<colon])
    }
    if host.hasPrefix("[") {
      guard host.hasSuffix("]"), host.dropFirst().dropLast().allSatisfy(Self.isOfIPv6) else {
        return nil
      }
      self.host = String(host.dropFirst().dropLast())
      isAddress = true
    } else {
      guard !host.isEmpty, host.allSatisfy(Self.isOfName) else { return nil }
      self.host = host
      let parts = host.split(separator: ".", omittingEmptySubsequences: false)
      isAddress = parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
    self.port = port
  }

  private static func isOfIPv6(_ character: Character) -> Bool {
    character.isHexDigit || character == ":" || character == "."
  }

  private static func isOfName(_ character: Character) -> Bool {
    character.isASCII && (character.isLetter || character.isNumber || "-._".contains(character))
  }
}

/// Checks where a request comes from and whether it carries the token, before a route sees it.
struct Access: Sendable {
  private let settings: StudioSettings
  /// The digest of the token. Digests have one length, so comparing them shows nothing of the token's.
  private let tokenDigest: [UInt8]?

  init(_ settings: StudioSettings) {
    self.settings = settings
    tokenDigest = settings.token.map { SHA256.digest(of: [UInt8]($0.utf8)) }
  }

  /// Checks the host and the origin.
  ///
  /// A page of another site can make a browser send requests to this server, under a name of its own
  /// that resolves to this machine (DNS rebinding). Such a name is not in the list of hosts.
  ///
  /// - Returns: the origin that may read the answer, if it is another one.
  /// - Throws: ``RequestError``.
  func checkSource(_ request: HTTPRequest) throws(RequestError) -> String? {
    let hosts = request.headers.values("host")
    guard hosts.count == 1, let authority = Authority(hosts[0]) else {
      throw RequestError(.badRequest, "the request needs one valid Host header")
    }
    let names = ["localhost", settings.host.lowercased(), settings.machineName?.lowercased()]
    guard authority.isAddress || names.contains(authority.host) else {
      throw RequestError(
        .misdirected, "\(shown(authority.host)) is not a name of this server")
    }
    if let text = request.headers["origin"] {
      if let origin = Origin(text), origin == Origin("http://" + hosts[0]) { return nil }
      if settings.allowedOrigins.contains(text.lowercased()) { return text }
      throw RequestError(.forbidden, "pages of \(shown(text)) may not call this server")
    }
    // Requests without an origin, such as those for images, state their site in current browsers.
    let isNavigation = request.headers["sec-fetch-mode"] == "navigate" && request.method == "GET"
    if request.headers["sec-fetch-site"] == "cross-site", !isNavigation {
      throw RequestError(.forbidden, "pages of other sites may not call this server")
    }
    return nil
  }

  /// Checks the token: `Authorization: Bearer TOKEN`, or `Basic` with the token as password.
  ///
  /// - Throws: ``RequestError``.
  func checkToken(_ request: HTTPRequest) throws(RequestError) {
    guard let tokenDigest else { return }
    let parts = (request.headers["authorization"] ?? "").split(separator: " ", maxSplits: 1)
    if parts.count == 2 {
      let given: [UInt8]? =
        switch parts[0].lowercased() {
        case "bearer": [UInt8](parts[1].utf8)
        case "basic": Self.password(String(parts[1]))
        default: nil
        }
      if let given, Self.isEqual(SHA256.digest(of: given), tokenDigest) { return }
    }
    throw RequestError(
      .unauthorized,
      parts.isEmpty ? "the request has no token" : "the request has another token",
      headers: [("www-authenticate", "Bearer realm=\"decant\"")])
  }

  /// The password of `user:password` in base64.
  private static func password(_ text: String) -> [UInt8]? {
    guard let bytes = bytes(base64: text), let colon = bytes.firstIndex(of: UInt8(ascii: ":"))
    else { return nil }
    return Array(bytes[(colon + 1)...])
  }

  /// Compares two digests in a time that does not depend on where they differ.
  private static func isEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    var difference: UInt8 = 0
    for (x, y) in zip(a, b) { difference |= x ^ y }
    return difference == 0 && a.count == b.count
  }
}

import Foundation
import Studio
import Support
import Testing

/// Who may call the server.
@Suite struct AccessTests {
  private func status(
    _ service: Service, _ headers: [(String, String)], _ method: String = "GET",
    _ target: String = "/api/server"
  ) async throws -> HTTPStatus {
    try await service.send(method, target, headers: headers).status
  }

  /// A page of another site can reach this machine under a name of its own (DNS rebinding).
  @Test(arguments: [
    ("localhost:7860", HTTPStatus.ok), ("LOCALHOST", .ok), ("127.0.0.1:7860", .ok),
    ("[::1]:7860", .ok), ("192.168.0.7:7860", .ok), ("workstation:7860", .ok),
    ("evil.example:7860", .misdirected), ("localhost.evil.example", .misdirected),
    ("127.0.0.1.evil.example", .misdirected), ("", .badRequest), ("a b", .badRequest),
    ("localhost:99999", .badRequest), ("[::1", .badRequest), ("user@localhost", .badRequest),
  ])
  func hostsAreChecked(host: String, expected: HTTPStatus) async throws {
    let service = try Service()
    #expect(try await status(service, [("Host", host)]) == expected)
    // The page is not shown under another name either.
    #expect(try await status(service, [("Host", host)], "GET", "/") == expected)
  }

  @Test func oneHostIsNeeded() async throws {
    let service = try Service()
    #expect(
      try await status(service, [("Host", "localhost"), ("Host", "localhost")]) == .badRequest)
    let none = await service.service.respond(to: try HTTPRequest(method: "GET", target: "/"))
    #expect(none.status == .badRequest)
  }

  @Test(arguments: [
    ("http://localhost:7860", HTTPStatus.ok), ("http://LOCALHOST:7860", .ok),
    ("https://localhost:7860", .forbidden), ("http://localhost:7861", .forbidden),
    ("http://127.0.0.1:7860", .forbidden), ("https://evil.example", .forbidden),
    ("null", .forbidden), ("", .forbidden), ("file://", .forbidden),
  ])
  func originsAreChecked(origin: String, expected: HTTPStatus) async throws {
    let service = try Service()
    #expect(try await status(service, [("Origin", origin)]) == expected)
    let response = try await service.send("GET", "/api/server", headers: [("Origin", origin)])
    #expect(response.headers["access-control-allow-origin"] == nil)
  }

  @Test func requestsOfOtherSitesAreRefused() async throws {
    let service = try Service()
    #expect(try await status(service, [("Sec-Fetch-Site", "cross-site")]) == .forbidden)
    #expect(try await status(service, [("Sec-Fetch-Site", "same-origin")]) == .ok)
    let link = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")]
    #expect(try await status(service, link, "GET", "/") == .ok)
    #expect(try await status(service, link, "POST", "/sdapi/v1/interrupt") == .forbidden)
  }

  @Test func anAllowedOriginMayReadAnswers() async throws {
    let service = try Service(origins: ["https://app.example"])
    let origin = ("Origin", "https://app.example")
    let response = try await service.send("GET", "/api/server", headers: [origin])
    #expect(response.status == .ok)
    #expect(response.headers["access-control-allow-origin"] == "https://app.example")
    #expect(response.headers["vary"] == "Origin")
    let preflight = try await service.send(
      "OPTIONS", "/api/generate",
      headers: [origin, ("Access-Control-Request-Method", "POST")])
    #expect(preflight.status == .noContent)
    #expect(preflight.headers["access-control-allow-headers"] == "Authorization, Content-Type")
    // A refusal can be read too.
    let refusal = try await service.send("POST", "/api/generate", json: [:], headers: [origin])
    #expect(refusal.status == .unprocessable)
    #expect(refusal.headers["access-control-allow-origin"] == "https://app.example")
    #expect(try await status(service, [("Origin", "https://other.example")]) == .forbidden)
    #expect(try await status(service, [], "OPTIONS") == .methodNotAllowed)
  }

  @Test func theTokenIsNeededEverywhereButForThePage() async throws {
    let service = try Service(host: "0.0.0.0", token: "sesame")
    for target in ["/api/server", "/sdapi/v1/progress", "/v1/models", "/api/jobs/x/events"] {
      let response = try await service.send("GET", target)
      #expect(response.status == .unauthorized, "\(target)")
      #expect(response.headers["www-authenticate"] == "Bearer realm=\"decant\"")
    }
    for target in ["/", "/openapi.json"] {
      #expect(try await status(service, [], "GET", target) == .ok, "\(target)")
    }
    func basic(_ text: String) -> String { "Basic " + Data(text.utf8).base64EncodedString() }
    let accepted = ["Bearer sesame", "bearer sesame", basic("anyone:sesame"), basic(":sesame")]
    for value in accepted {
      #expect(try await status(service, [("Authorization", value)]) == .ok, "\(value)")
    }
    let refused = [
      "Bearer sesam", "Bearer sesame2", "Bearer", "sesame", "Digest sesame", basic("sesame"),
      basic("sesame:"), "Basic ?",
    ]
    for value in refused {
      #expect(try await status(service, [("Authorization", value)]) == .unauthorized, "\(value)")
    }
  }

  @Test func addressesOfOtherMachinesNeedAToken() throws {
    for host in ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"] {
      _ = try StudioSettings(host: host)
    }
    for host in ["0.0.0.0", "::", "192.168.0.7", "example.org", "127.0.0.1.example.org"] {
      #expect(throws: StudioSettingsError.noToken(host: host)) { try StudioSettings(host: host) }
      _ = try StudioSettings(host: host, token: "x")
    }
    #expect(throws: StudioSettingsError.emptyToken) { try StudioSettings(token: "") }
    #expect(throws: StudioSettingsError.origin("example.org")) {
      try StudioSettings(allowedOrigins: ["example.org"])
    }
    #expect(
      StudioSettingsError.noToken(host: "0.0.0.0").description
        == "0.0.0.0 can be reached from other machines, and no token is set")
  }

  @Test func answersStateTheirConduct() async throws {
    let response = try await Service().send("GET", "/api/x")
    #expect(response.headers["x-content-type-options"] == "nosniff")
    #expect(response.headers["referrer-policy"] == "no-referrer")
  }
}

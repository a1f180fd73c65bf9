import Studio
import Testing

/// Reading requests from the bytes of a connection.
@Suite struct RequestHeadTests {
  private func head(_ text: String, limit: Int = 100) throws -> (RequestHead?, rest: String) {
    var bytes = [UInt8](text.utf8)
    var searched = 0
    let head = try RequestHead(from: &bytes, searched: &searched, bodyLimit: limit)
    return (head, String(decoding: bytes, as: UTF8.self))
  }

  @Test func aHeadIsReadAndRemoved() throws {
    let (found, rest) = try head(
      "POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-LENGTH:  5 \r\nX:\r\n\r\nhello, next")
    let head = try #require(found)
    #expect(head.method == "POST" && head.target == "/a?b=c")
    #expect(head.headers["host"] == "x" && head.headers["x"]?.isEmpty == true)
    #expect(head.body == .bytes(5) && head.keepsAlive && head.takesChunks && !head.expectsContinue)
    #expect(rest == "hello, next")
  }

  /// The result does not depend on how the bytes arrive.
  @Test func headsArriveInPieces() throws {
    let text = [UInt8]("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
    for size in 1...text.count {
      var bytes: [UInt8] = []
      var searched = 0
      var found: RequestHead?
      for start in stride(from: 0, to: text.count, by: size) {
        #expect(found == nil)
        bytes += text[start..<min(start + size, text.count)]
        found = try RequestHead(from: &bytes, searched: &searched, bodyLimit: 0)
      }
      #expect(found?.method == "GET" && bytes.isEmpty, "pieces of \(size)")
    }
  }

  @Test(arguments: [
    ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", false),
    ("GET / HTTP/1.1\r\nConnection: Upgrade, Close\r\n\r\n", false),
    ("GET / HTTP/1.0\r\n\r\n", false),
    ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
  ])
  func connectionsAreKept(text: String, expected: Bool) throws {
    #expect(try head(text).0?.keepsAlive == expected)
  }

  @Test func otherBodies() throws {
    #expect(
      try head("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").0?.body == RequestHead.Body.none)
    let chunked = try head(
      "GET / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nExpect: 100-Continue\r\n\r\n")
    #expect(chunked.0?.body == .chunks && chunked.0?.expectsContinue == true)
  }

  @Test(arguments: [
    ("GET /\r\n\r\n", HTTPStatus.badRequest), ("GET  / HTTP/1.1\r\n\r\n", .badRequest),
    (" GET / HTTP/1.1\r\n\r\n", .badRequest), ("GET / HTTP/2.0\r\n\r\n", .badRequest),
    ("G(T / HTTP/1.1\r\n\r\n", .badRequest), ("\r\n\r\n", .badRequest),
    ("GET / HTTP/1.1\r\nA : b\r\n\r\n", .badRequest),
    ("GET / HTTP/1.1\r\n: b\r\n\r\n", .badRequest),
    ("GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", .badRequest),
    ("GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", .badRequest),
    ("GET / HTTP/1.1\r\nA: b\u{0}\r\n\r\n", .badRequest),
    ("GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", .badRequest),
    ("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", .badRequest),
    ("GET / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n", .badRequest),
    ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", .badRequest),
    ("GET / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", .contentTooLarge),
    ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", .contentTooLarge),
    ("GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", .badRequest),
    ("GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .badRequest),
  ])
  func ambiguousHeadsAreRefused(text: String, expected: HTTPStatus) throws {
    let error = #expect(throws: RequestError.self) { _ = try head(text) }
    #expect(error?.status == expected)
  }

  @Test func longHeadsAreRefused() throws {
    let line = String(repeating: "x", count: RequestHead.byteLimit)
    for text in ["GET /\(line) HTTP/1.1\r\n\r\n", line + "x"] {
      let error = #expect(throws: RequestError.self) { _ = try head(text) }
      #expect(error?.status == .headersTooLarge)
    }
  }

  // MARK: - Chunks

  private func joined(
    _ text: String, size: Int, limit: Int = 100
  ) throws -> (body: String?, rest: String) {
    var chunked = ChunkedBody(limit: limit)
    let all = [UInt8](text.utf8)
    var received: [UInt8] = []
    var isComplete = false
    for start in stride(from: 0, to: all.count, by: size) {
      received += all[start..<min(start + size, all.count)]
      if !isComplete { isComplete = try chunked.read(&received) }
    }
    return (
      isComplete ? String(decoding: chunked.bytes, as: UTF8.self) : nil,
      String(decoding: received, as: UTF8.self)
    )
  }

  @Test func chunksAreJoined() throws {
    let text = "5\r\nhello\r\nA;x=y\r\n, 123 456!\r\n0\r\nTrailer: x\r\n\r\nGET"
    for size in 1...text.utf8.count {
      let (body, rest) = try joined(text, size: size)
      #expect(body == "hello, 123 456!" && rest == "GET", "pieces of \(size)")
    }
    #expect(try joined("5\r\nhel", size: 100).body == nil)
  }

  @Test(arguments: [
    "5\nhello\r\n0\r\n\r\n", "\r\n", "g\r\n", "-1\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhelloXX\r\n",
    "fffffffff\r\n", "+5\r\n", " 5\r\n",
  ])
  func malformedChunksAreRefused(text: String) throws {
    let error = #expect(throws: RequestError.self) { _ = try joined(text, size: 100) }
    #expect(error?.status == .badRequest)
  }

  @Test func chunksAreBounded() throws {
    let error = #expect(throws: RequestError.self) {
      _ = try joined("5\r\nhello\r\n6\r\nworlds\r\n0\r\n\r\n", size: 100, limit: 10)
    }
    #expect(error?.status == .contentTooLarge)
    let line = #expect(throws: RequestError.self) {
      _ = try joined("1;" + String(repeating: "x", count: 2000), size: 100)
    }
    #expect(line?.status == .badRequest)
  }
}

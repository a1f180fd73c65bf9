#if Server
  internal import FlyingSocks
  private import Foundation
  internal import Studio
  private import Support
  private import Synchronization

  /// A connection of a client: its requests, one after another.
  struct ClientConnection: Sendable {
    private let socket: AsyncSocket
    private let pool: SocketPool<ePoll>
    private let service: StudioService
    private let bodyLimit: Int
    private let deadline = Deadline()

    /// How long a client may take to begin a request, and to finish its head.
    private static let headTime = Duration.seconds(30)
    private static let bodyTime = Duration.seconds(120)
    /// How long a client may take to accept a part of an answer.
    private static let writeTime = Duration.seconds(30)
    /// The most bytes that are received while an answer is made: those of the next request.
    private static let aheadLimit = 65_536

    init(
      _ socket: AsyncSocket, of pool: SocketPool<ePoll>, service: StudioService, bodyLimit: Int
    ) {
      self.socket = socket
      self.pool = pool
      self.service = service
      self.bodyLimit = bodyLimit
    }

    /// What has been received and not used yet.
    private final class Received: Sendable {
      let bytes = Mutex<[UInt8]>([])
    }

    /// Answers requests until the client goes away or the task is cancelled, then closes the
    /// connection.
    ///
    /// - Parameter isBusy: whether there are too many connections; one request is then refused.
    func serve(isBusy: Bool) async {
      await withTaskGroup(of: Void.self) { group in
        group.addTask {
          let received = Received()
          do {
            while try await answerRequest(received, isBusy: isBusy) {}
          } catch {
            // The client went away, took too long, or the server stops.
          }
        }
        group.addTask { await deadline.wait() }
        await group.next()
        group.cancelAll()
      }
      await pool.settle()
      try? socket.close()
    }

    /// - Returns: whether another request can follow.
    private func answerRequest(_ received: Received, isBusy: Bool) async throws -> Bool {
      let request: HTTPRequest
      let head: RequestHead
      do {
        if isBusy { throw RequestError(.unavailable, "too many clients are connected") }
        guard let found = try await readHead(received) else { return false }
        head = found
        let body = try await readBody(head, received)
        request = try HTTPRequest(
          method: head.method, target: head.target, headers: head.headers, body: body)
      } catch let error as RequestError {
        let response = HTTPResponse(refusing: error)
        try await write(response.head(keepsAlive: false, takesChunks: true))
        if case .bytes(let bytes) = response.body { try await write(bytes) }
        return false
      }
      return try await answer(request, head, received)
    }

    // MARK: - Receiving

    private func readHead(_ received: Received) async throws -> RequestHead? {
      try await deadline.within(Self.headTime) {
        var searched = 0
        while true {
          let head = try received.bytes.withLock { bytes throws(RequestError) in
            try RequestHead(from: &bytes, searched: &searched, bodyLimit: bodyLimit)
          }
          if let head { return head }
          try await receive(received)
        }
      }
    }

    private func readBody(_ head: RequestHead, _ received: Received) async throws -> [UInt8] {
      if head.body == .none { return [] }
      if head.expectsContinue { try await write([UInt8]("HTTP/1.1 100 Continue\r\n\r\n".utf8)) }
      return try await deadline.within(Self.bodyTime) {
        var chunked = ChunkedBody(limit: bodyLimit)
        while true {
          let body = try received.bytes.withLock { bytes throws(RequestError) -> [UInt8]? in
            switch head.body {
            case .none: return []
            case .bytes(let count):
              guard bytes.count >= count else { return nil }
              defer { bytes.removeSubrange(..<count) }
              return Array(bytes[..<count])
            case .chunks: return try chunked.read(&bytes) ? chunked.bytes : nil
            }
          }
          if let body { return body }
          try await receive(received)
        }
      }
    }

    /// Waits for bytes.
    private func receive(_ received: Received) async throws {
      let bytes = try await socket.read(atMost: 4096)
      received.bytes.withLock { $0 += bytes }
    }

    // MARK: - Answering

    /// Makes and sends the answer, and cancels that when the client goes away.
    ///
    /// - Returns: whether another request can follow.
    private func answer(
      _ request: HTTPRequest, _ head: RequestHead, _ received: Received
    ) async throws -> Bool {
      try await withThrowingTaskGroup(of: Bool.self) { group in
        group.addTask {
          let response = await service.respond(to: request)
          return try await send(response, to: head)
        }
        group.addTask {
          while received.bytes.withLock({ $0.count }) < Self.aheadLimit {
            try await receive(received)
          }
          // A client that sends so much ahead is not watched. The group cancels this.
          while true { try await Task.sleep(for: .seconds(1)) }
        }
        defer { group.cancelAll() }
        return try await group.next() ?? false
      }
    }

    private func send(_ response: HTTPResponse, to head: RequestHead) async throws -> Bool {
      switch response.body {
      case .bytes(let bytes):
        try await write(response.head(keepsAlive: head.keepsAlive, takesChunks: head.takesChunks))
        if head.method != "HEAD" { try await write(bytes) }
        return head.keepsAlive
      case .events(let events):
        let keepsAlive = head.keepsAlive && head.takesChunks
        try await write(response.head(keepsAlive: keepsAlive, takesChunks: head.takesChunks))
        if head.method == "HEAD" { return keepsAlive }
        for await event in events { try await write(event.bytes(asChunk: head.takesChunks)) }
        try Cancellation.check()
        if head.takesChunks { try await write(ServerSentEvent.lastChunk) }
        return keepsAlive
      }
    }

    /// Sends bytes, a part at a time.
    private func write(_ bytes: [UInt8]) async throws {
      let part = 65_536
      for start in stride(from: 0, to: bytes.count, by: part) {
        let data = Data(bytes[start..<min(start + part, bytes.count)])
        try await deadline.within(Self.writeTime) { try await socket.write(data) }
      }
    }
  }

  /// The time until which a connection must have done what it does now.
  ///
  /// One task for each connection looks at it every second. A sleeping task that is cancelled holds its
  /// memory until it would have woken, so a task for each part of a request would hold much of it.
  private final class Deadline: Sendable {
    private let instant = Mutex<ContinuousClock.Instant?>(nil)

    /// Runs `body`, for at most that time if ``wait()`` is waited for.
    func within<Result: Sendable>(
      _ time: Duration, _ body: () async throws -> Result
    ) async throws -> Result {
      instant.withLock { $0 = .now + time }
      defer { instant.withLock { $0 = nil } }
      return try await body()
    }

    /// Returns when a time has passed, or when the task is cancelled.
    func wait() async {
      while !Cancellation.isRequested {
        try? await Task.sleep(for: .seconds(1))
        if instant.withLock({ $0.map { $0 <= .now } ?? false }) { return }
      }
    }
  }
#endif

#if Server
  private import FlyingSocks
  private import Foundation
  package import Studio
  private import Support
  private import Synchronization

  /// Serves a ``StudioService`` on a socket.
  ///
  /// The sockets and the waiting for them are FlyingSocks'. Its HTTP server is not used: it bounds
  /// neither the heads of requests nor the time that they take, and does not notice that a client goes
  /// away while an answer is made.
  package struct StudioServer: Sendable {
    private let service: StudioService
    private let settings: StudioSettings
    /// The most connections at a time.
    private static let connectionLimit = 256

    package init(_ service: StudioService, settings: StudioSettings) {
      self.service = service
      self.settings = settings
    }

    /// Listens and answers until the task is cancelled, then cancels all jobs.
    ///
    /// - Parameter started: called with the port once clients can connect.
    /// - Throws: ``ServerError`` where the address cannot be used, or `CancellationError`.
    package func run(started: @escaping @Sendable (_ port: Int) -> Void) async throws {
      let pool: SocketPool<ePoll> = .ePoll()
      try await pool.prepare()
      let socket = try listeningSocket()
      defer { try? socket.close() }
      let listener = try AsyncSocket(socket: socket, pool: pool)
      do {
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { try await pool.run() }
          group.addTask {
            started(Self.port(of: socket) ?? settings.port)
            try await accept(listener, pool)
          }
          defer { group.cancelAll() }
          try await group.next()
        }
      } catch {
        await service.close()
        // Sockets and the waiting for them fail in several ways when their task is cancelled.
        try Cancellation.check()
        throw error
      }
    }

    /// Serves each client until the task is cancelled.
    private func accept(_ listener: AsyncSocket, _ pool: SocketPool<ePoll>) async throws {
      let count = ConnectionCount()
      try await withThrowingDiscardingTaskGroup { group in
        while true {
          let connection: AsyncSocket
          do {
            connection = try await listener.accept()
          } catch {
            try Cancellation.check()
            // Too many files are open, or a client went away before it was accepted.
            try await Task.sleep(for: .milliseconds(50))
            continue
          }
          let isBusy = count.added() > Self.connectionLimit
          let client = ClientConnection(
            connection, of: pool, service: service, bodyLimit: settings.limits.bodyBytes)
          group.addTask {
            await client.serve(isBusy: isBusy)
            count.remove()
          }
        }
      }
    }

    private func listeningSocket() throws(ServerError) -> Socket {
      guard let port = UInt16(exactly: settings.port) else {
        throw ServerError.port(settings.port)
      }
      do {
        let host = settings.host == "localhost" ? StudioSettings.standardHost : settings.host
        if host.contains(":") {
          let address = try sockaddr_in6.inet6(ip6: host, port: port)
          return try listening(address)
        }
        return try listening(sockaddr_in.inet(ip4: host, port: port))
      } catch SocketError.failed(let type, let number, let message) {
        if type.hasPrefix("inet_pton") { throw ServerError.host(settings.host) }
        throw ServerError.cannotListen(
          host: settings.host, port: settings.port, reason: message, isInUse: number == EADDRINUSE)
      } catch {
        throw ServerError.cannotListen(
          host: settings.host, port: settings.port, reason: "\(error)", isInUse: false)
      }
    }

    private func listening(_ address: some SocketAddress) throws -> Socket {
      let socket = try Socket(domain: Int32(type(of: address).family))
      do {
        try socket.setValue(true, for: .localAddressReuse)
        try socket.bind(to: address)
        try socket.listen()
      } catch {
        try? socket.close()
        throw error
      }
      return socket
    }

    private static func port(of socket: Socket) -> Int? {
      switch try? socket.sockname() {
      case .ip4(_, let port), .ip6(_, let port): Int(port)
      case .unix, nil: nil
      }
    }
  }

  extension SocketPool {
    /// Waits until the pool has forgotten the sockets that nothing waits for any more.
    ///
    /// The pool lets a task go on before it stops watching the task's socket. A socket that is closed in
    /// between stays in the pool's list, and a new socket with its number would not be watched.
    func settle() {}
  }

  /// The number of open connections.
  private final class ConnectionCount: Sendable {
    private let count = Mutex(0)

    /// Counts one more, and returns the new number.
    func added() -> Int {
      count.withLock { count in
        count += 1
        return count
      }
    }

    func remove() { count.withLock { $0 -= 1 } }
  }
#endif

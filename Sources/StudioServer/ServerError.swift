package import Support

/// Why the server cannot listen.
package enum ServerError: RemediableError, Equatable {
  case host(String)
  case port(Int)
  case cannotListen(host: String, port: Int, reason: String, isInUse: Bool)

  package var description: String {
    switch self {
    case .host(let host): "the host is \(shown(host)), expected an IP address or localhost"
    case .port(let port): "the port is \(port), expected 0 to \(UInt16.max)"
    case .cannotListen(let host, let port, let reason, _):
      "cannot listen on \(shown(host)), port \(port): \(shown(reason))"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .host, .port: nil
    case .cannotListen(_, _, _, let isInUse): isInUse ? .adjust(.port, .other) : nil
    }
  }
}

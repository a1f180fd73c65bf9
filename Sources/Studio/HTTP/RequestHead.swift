private import Support

/// The head of a request of HTTP/1.1 (RFC 9112), read strictly: what two programs could understand
/// differently is refused.
package struct RequestHead: Sendable, Equatable {
  /// What follows the head.
  package enum Body: Sendable, Equatable {
    case none
    case bytes(Int)
    case chunks
  }

  package let method: String
  package let target: String
  package let headers: HTTPHeaders
  package let body: Body
  /// Whether the client keeps the connection for further requests.
  package let keepsAlive: Bool
  /// Whether the client understands chunks: version 1.1.
  package let takesChunks: Bool
  /// Whether the client waits for the interim answer 100 before it sends the body.
  package let expectsContinue: Bool

  /// The most bytes of a head.
  package static let byteLimit = 16_384
  private static let end: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a]

  /// Reads a head from the bytes of a connection.
  ///
  /// - Parameters:
  ///   - bytes: received so far; the head is removed from them.
  ///   - searched: the number of bytes that held no end of a head in an earlier call; it grows.
  ///   - bodyLimit: the most bytes of a body.
  /// - Returns: `nil` where more bytes are needed.
  /// - Throws: ``RequestError``, after which the connection cannot be used further.
  package init?(
    from bytes: inout [UInt8], searched: inout Int, bodyLimit: Int
  ) throws(RequestError) {
    let start = max(0, searched - Self.end.count)
    guard let found = bytes[start...].firstRange(of: Self.end) else {
      searched = bytes.count
      if bytes.count > Self.byteLimit {
        throw RequestError(
          .headersTooLarge, "the head of the request has more than \(Self.byteLimit) bytes")
      }
      return nil
    }
    searched = 0
    let head = Array(bytes[..<found.lowerBound])
    guard head.count <= Self.byteLimit else {
      throw RequestError(
        .headersTooLarge, "the head of the request has more than \(Self.byteLimit) bytes")
    }
    bytes.removeSubrange(..<found.upperBound)
    let lines = try Self.lines(head)
    let words = lines[0].split(separator: " ", omittingEmptySubsequences: false).map(String.init)
    guard words.count == 3, words[0].allSatisfy(Self.isOfToken), !words[0].isEmpty else {
      throw RequestError(.badRequest, "the first line is not a request of HTTP")
    }
    guard words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0" else {
      throw RequestError(.badRequest, "the version is \(shown(words[2])), expected HTTP/1.1")
    }
    method = words[0]
    target = words[1]
    takesChunks = words[2] == "HTTP/1.1"
    var headers = HTTPHeaders()
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":"), colon > line.startIndex,
        line[..<colon].allSatisfy(Self.isOfToken)
      else { throw RequestError(.badRequest, "a header line is malformed: \(shown(line))") }
      let value = line[line.index(after: colon)...]
      headers.add(String(line[..<colon]), Self.trimmed(value))
    }
    self.headers = headers
    let options = headers.values("connection").joined(separator: ",").lowercased()
      .split(separator: ",").map { Self.trimmed($0) }
    keepsAlive = takesChunks ? !options.contains("close") : options.contains("keep-alive")
    expectsContinue = headers["expect"]?.lowercased() == "100-continue"
    body = try Self.body(headers, limit: bodyLimit)
  }

  private static func body(_ headers: HTTPHeaders, limit: Int) throws(RequestError) -> Body {
    let lengths = headers.values("content-length")
    let codings = headers.values("transfer-encoding")
    if !codings.isEmpty {
      guard lengths.isEmpty, codings.count == 1, codings[0].lowercased() == "chunked" else {
        throw RequestError(.badRequest, "the transfer coding is not chunked alone")
      }
      return .chunks
    }
    guard let text = lengths.first else { return .none }
    guard lengths.count == 1, !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) })
    else {
      throw RequestError(.badRequest, "the content length is \(shown(text)), expected a number")
    }
    guard let count = Int(text), count <= limit else { throw tooLarge(limit) }
    return count == 0 ? .none : .bytes(count)
  }

  static func tooLarge(_ limit: Int) -> RequestError {
    RequestError(.contentTooLarge, "the body has more than \(limit) bytes")
  }

  /// The lines between pairs of carriage return and line feed. Other control characters than tabs are
  /// refused.
  private static func lines(_ head: [UInt8]) throws(RequestError) -> [String] {
    let text: String
    do { text = try String(fileText: head) } catch {
      throw RequestError(.badRequest, "the head of the request is \(error)")
    }
    // A carriage return and a line feed are one character in Swift.
    let lines = text.split(separator: "\r\n", omittingEmptySubsequences: false).map(String.init)
    for line in lines {
      let isPlain = line.unicodeScalars.allSatisfy {
        $0 == "\t" || ($0.value >= 0x20 && $0.value != 0x7f)
      }
      if !isPlain {
        throw RequestError(.badRequest, "the head of the request has a control character")
      }
    }
    return lines
  }

  private static func isOfToken(_ character: Character) -> Bool {
    character.isASCII
      && (character.isLetter || character.isNumber || "!#$%&'*+-.^_`|~".contains(character))
  }

  private static func trimmed(_ text: Substring) -> String {
    var text = text
    while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    return String(text)
  }
}

/// Joins the chunks of a body (RFC 9112, section 7.1).
package struct ChunkedBody: Sendable {
  /// The chunks so far.
  package private(set) var bytes: [UInt8] = []
  private let limit: Int
  private var place = Place.size
  /// The bytes of the present line.
  private var line: [UInt8] = []

  private enum Place {
    /// In the line with the size of a chunk.
    case size
    /// In a chunk, with so many bytes left.
    case chunk(Int)
    /// After a chunk.
    case chunkEnd
    /// In a line after the last chunk.
    case trailer
  }

  private static let lineLimit = 1024

  /// - Parameter limit: the most bytes of all chunks.
  package init(limit: Int) { self.limit = limit }

  /// Reads received bytes. Those after the body stay.
  ///
  /// - Returns: whether the body is complete.
  /// - Throws: ``RequestError``, after which the connection cannot be used further.
  package mutating func read(_ received: inout [UInt8]) throws(RequestError) -> Bool {
    var index = 0
    defer { received.removeSubrange(..<index) }
    while index < received.count {
      if case .chunk(let left) = place {
        let count = min(left, received.count - index)
        bytes += received[index..<index + count]
        index += count
        place = count == left ? .chunkEnd : .chunk(left - count)
        continue
      }
      let byte = received[index]
      index += 1
      guard byte == 0x0a else {
        line.append(byte)
        if line.count > Self.lineLimit { throw Self.malformed }
        continue
      }
      guard line.last == 0x0d else { throw Self.malformed }
      let text = line.dropLast()
      line = []
      switch place {
      case .size:
        let size = try Self.size(text)
        guard bytes.count + size <= limit else { throw RequestHead.tooLarge(limit) }
        place = size == 0 ? .trailer : .chunk(size)
      case .chunkEnd:
        guard text.isEmpty else { throw Self.malformed }
        place = .size
      case .trailer: if text.isEmpty { return true }
      case .chunk: break
      }
    }
    return false
  }

  private static let malformed = RequestError(.badRequest, "the chunks of the body are malformed")

  /// The size that a line states in hexadecimal digits, before an extension.
  private static func size(_ line: ArraySlice<UInt8>) throws(RequestError) -> Int {
    let digits = line.prefix { $0 != UInt8(ascii: ";") }
    guard !digits.isEmpty, digits.count <= 8 else { throw malformed }
    var size = 0
    for digit in digits {
      guard let value = Character(Unicode.Scalar(digit)).hexDigitValue, digit < 0x80 else {
        throw malformed
      }
      size = size << 4 | value
    }
    return size
  }
}

extension HTTPResponse {
  /// The status line and the headers as they are sent.
  ///
  /// - Parameters:
  ///   - keepsAlive: whether further requests can follow on the connection.
  ///   - takesChunks: whether the client understands chunks.
  package func head(keepsAlive: Bool, takesChunks: Bool) -> [UInt8] {
    var lines = ["HTTP/1.1 \(status.rawValue) \(status.phrase)"]
    lines += headers.fields.map { "\($0.name): \($0.value)" }
    switch body {
    case .bytes(let bytes):
      if status != .noContent { lines.append("content-length: \(bytes.count)") }
    case .events: if takesChunks { lines.append("transfer-encoding: chunked") }
    }
    lines.append("connection: \(keepsAlive ? "keep-alive" : "close")")
    return [UInt8]((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
  }

  /// The answer to a request that could not be read.
  package init(refusing error: RequestError) { self = error.response(.own) }
}

extension ServerSentEvent {
  /// The event as it is sent: as a chunk, or by itself to clients that do not take chunks.
  package func bytes(asChunk: Bool) -> [UInt8] {
    let text = [UInt8](text.utf8)
    if !asChunk { return text }
    return [UInt8]((String(text.count, radix: 16) + "\r\n").utf8) + text + [0x0d, 0x0a]
  }

  /// The chunk after the last event.
  package static let lastChunk = [UInt8]("0\r\n\r\n".utf8)
}

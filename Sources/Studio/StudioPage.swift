private import CStudioPage
private import Support

/// The page: one HTML document with its style and script inside, which fetches nothing but this
/// server's own API.
package struct StudioPage: Sendable {
  /// The whole document.
  private let html: [UInt8]
  /// Allows exactly the style and the script of the document.
  private let policy: String

  init() {
    let style = Self.text(decant_studio_style_count(), decant_studio_style_byte)
    let script = Self.text(decant_studio_script_count(), decant_studio_script_byte)
    let frame = Self.text(decant_studio_page_count(), decant_studio_page_byte)
    html = Self.filling(Self.filling(frame, "<style></style>", style), "<script></script>", script)
    policy = [
      "default-src 'none'", "style-src 'sha256-\(base64(SHA256.digest(of: style)))'",
      "script-src 'sha256-\(base64(SHA256.digest(of: script)))'", "img-src 'self' data: blob:",
      "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ].joined(separator: "; ")
  }

  var response: HTTPResponse {
    HTTPResponse(
      .ok,
      headers: [
        ("content-type", "text/html; charset=utf-8"), ("content-security-policy", policy),
        ("cache-control", "no-cache"),
      ], body: .bytes(html))
  }

  private static func text(_ count: Int64, _ byte: (Int64) -> UInt8) -> [UInt8] {
    (0..<count).map(byte)
  }

  /// Puts the content into an empty element.
  private static func filling(_ text: [UInt8], _ element: String, _ content: [UInt8]) -> [UInt8] {
    let pattern = [UInt8](element.utf8)
    guard let start = text.firstRange(of: pattern)?.lowerBound,
      let end = pattern.firstIndex(of: UInt8(ascii: ">"))
    else { preconditionFailure("the page has no \(element)") }
    let place = start + end + 1
    return text[..<place] + content + text[place...]
  }
}

/// The characters and lengths that names of one kind may have in a manifest.
///
/// The rules are strict because names become dictionary keys and paths on disk.
struct NameRules: Sendable {
  /// The rule in words, for messages.
  let text: String
  private let limit: Int
  private let isPath: Bool
  private let isAllowed: @Sendable (UInt8) -> Bool

  static let component = NameRules(
    text: "1 to 64 of A-Z, a-z, 0-9, _ and -", limit: 64, isPath: false
  ) {
    0x30...0x39 ~= $0 || 0x41...0x5a ~= $0 || 0x61...0x7a ~= $0 || $0 == 0x5f || $0 == 0x2d
  }

  static let tensor = NameRules(
    text: "1 to 512 visible ASCII characters", limit: 512, isPath: false
  ) {
    0x21...0x7e ~= $0
  }

  static let path = NameRules(
    text: "a relative path of at most 255 printable ASCII characters without '..'", limit: 255,
    isPath: true
  ) {
    0x20...0x7e ~= $0 && $0 != 0x5c
  }

  func accepts(_ name: String) -> Bool {
    guard 1...limit ~= name.utf8.count, name.utf8.allSatisfy(isAllowed) else { return false }
    return !isPath
      || name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy {
        !$0.isEmpty && $0 != "." && $0 != ".."
      }
  }
}

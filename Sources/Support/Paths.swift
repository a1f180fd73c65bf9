/// A path cut into its parts, with `/` as the only separator and nothing looked up.
///
/// Foundation's own functions for it trap on a relative path of one character.
package struct PathParts: Sendable, Equatable {
  /// What the last name lies in: empty for a bare name, `/` for one at the top.
  package let folder: String
  /// The last name, without slashes that follow it.
  package let name: String

  package init(_ path: String) {
    var rest = path[...]
    while rest.count > 1, rest.last == "/" { rest.removeLast() }
    guard rest != "/", let slash = rest.lastIndex(of: "/") else {
      folder = rest == "/" ? "/" : ""
      name = rest == "/" ? "" : String(rest)
      return
    }
    folder = slash == rest.startIndex ? "/" : String(rest[..<slash])
    name = String(rest[rest.index(after: slash)...])
  }

  /// The name cut at its last dot; a dot at the beginning begins no extension.
  package var stemAndExtension: (stem: String, extension: String) {
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return (name, "") }
    return (String(name[..<dot]), String(name[name.index(after: dot)...]))
  }

  /// The path of `other` in the same folder.
  package func sibling(_ other: String) -> String {
    folder.isEmpty ? other : folder == "/" ? "/" + other : folder + "/" + other
  }
}

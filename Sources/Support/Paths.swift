/// A folder's path without the slashes at its end. The root folder stays `/`.
package func folderPath(_ path: String) -> String {
  var path = path
  while path.count > 1, path.hasSuffix("/") { path.removeLast() }
  return path
}

/// A path split into its folder and its last name. `/` is the only separator, and the file system
/// is not consulted.
///
/// Foundation's functions for this trap on a relative path of one character.
package struct PathParts: Sendable, Equatable {
  /// The path without its last name: empty for a bare name, `/` for a name in the root folder.
  package let folder: String
  /// The last name, without trailing slashes.
  package let name: String

  package init(_ path: String) {
    let rest = folderPath(path)
    guard rest != "/", let slash = rest.lastIndex(of: "/") else {
      folder = rest == "/" ? "/" : ""
      name = rest == "/" ? "" : rest
      return
    }
    folder = slash == rest.startIndex ? "/" : String(rest[..<slash])
    name = String(rest[rest.index(after: slash)...])
  }

  /// The name split at its last dot. A leading dot does not begin an extension.
  package var stemAndExtension: (stem: String, extension: String) {
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return (name, "") }
    return (String(name[..<dot]), String(name[name.index(after: dot)...]))
  }

  /// The path of `other` in the same folder.
  package func sibling(_ other: String) -> String {
    folder.isEmpty ? other : folder == "/" ? "/" + other : folder + "/" + other
  }
}

import Foundation
import TestSupport

/// The repository's own files, for tests of its rules.
enum Repository {
  struct File: Sendable, CustomStringConvertible {
    /// The path from the top of the repository: `Sources/Models/Family.swift`.
    let path: String
    let text: String

    var description: String { path }
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

    /// The text without comments and without strings on one line.
    var code: String {
      lines.map { line in
        String(line.replacing(#/"(\\.|[^"\\])*"/#, with: "\"\"").replacing(#/\/\/.*/#, with: ""))
      }.joined(separator: "\n")
    }

    /// The first group of each match of `pattern`.
    func captures(_ pattern: String) throws -> [String] {
      try text.matches(of: Regex(pattern)).compactMap { $0.output[1].substring.map(String.init) }
    }
  }

  static let top = URL(fileURLWithPath: fixture("")).deletingLastPathComponent()

  /// Files below `folder` with one of these extensions.
  static func files(_ folder: String, _ extensions: Set<String> = ["swift"]) throws -> [File] {
    let base = top.appendingPathComponent(folder).resolvingSymlinksInPath().path
    let names = FileManager.default.enumerator(atPath: base)?.compactMap { $0 as? String } ?? []
    return try names.sorted().filter { extensions.contains(($0 as NSString).pathExtension) }
      .map { name in
        File(
          path: "\(folder)/\(name)",
          text: try String(contentsOfFile: base + "/" + name, encoding: .utf8))
      }
  }

  static func file(_ path: String) throws -> File {
    File(
      path: path,
      text: try String(contentsOf: top.appendingPathComponent(path), encoding: .utf8))
  }
}

extension Substring {
  /// Whether the line holds only a comment.
  var isComment: Bool { drop { $0 == " " }.hasPrefix("//") }
}

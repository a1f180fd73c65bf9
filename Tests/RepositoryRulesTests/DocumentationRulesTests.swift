import Foundation
import Testing

/// Rules for the Markdown pages.
struct DocumentationRulesTests {
  /// Every page of the repository.
  static func pages() throws -> [Repository.File] {
    try ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"].map(Repository.file)
      + ["Sources", "Tests", "Formats", "Fixtures"].flatMap { try Repository.files($0, ["md"]) }
  }

  /// A reader finds a command within a minute: the README grows by table rows, not by paragraphs.
  @Test func theReadmeIsShort() throws {
    let words = try Repository.file("README.md").text.replacing(#/(?s)```.*?```/#, with: "")
      .split(whereSeparator: \.isWhitespace)
    #expect(words.count <= 900, "README.md has \(words.count) words outside code blocks")
    #expect(words.count > 300)
  }

  /// Links to files and to headings resolve.
  @Test func linksResolve() throws {
    var seen = 0
    for page in try Self.pages() {
      for target in try page.captures(#"\]\(([^)\s]+)\)"#) where !target.hasPrefix("https://") {
        seen += 1
        let parts = target.split(separator: "#", maxSplits: 1, omittingEmptySubsequences: false)
        let folder = (page.path as NSString).deletingLastPathComponent
        let path =
          parts[0].isEmpty
          ? page.path : ((folder + "/" + parts[0]) as NSString).standardizingPath
        let name = path.hasPrefix("/") ? String(path.dropFirst()) : path
        guard Repository.exists(name) else {
          Issue.record("\(page) links to \(target), which does not exist")
          continue
        }
        if parts.count == 2, name.hasSuffix(".md") {
          let anchors = try Repository.file(name).anchors
          #expect(anchors.contains(String(parts[1])), "\(page) links to \(target): no such heading")
        }
      }
    }
    #expect(seen > 25)
  }

  /// Each file that the steps for contributors name exists. `NAME` stands for the new file's name.
  @Test(arguments: ["CONTRIBUTING.md", "Sources/README.md"])
  func namedFilesExist(page: String) throws {
    var seen = 0
    for path in try Repository.file(page).captures(#"`([^`\s]+)`"#)
    where path.contains(#/^(Sources|Tests|Formats|Fixtures|\.ci)\//#) && !path.contains("NAME") {
      seen += 1
      #expect(Repository.exists(path), "\(page) names \(path), which does not exist")
    }
    #expect(seen > 0)
  }

  /// Each list that the pages for contributors name exists: `Schemes.all`.
  @Test(arguments: ["CONTRIBUTING.md", "Sources/README.md"])
  func namedListsExist(page: String) throws {
    let sources = try ["Sources", "Formats"].flatMap { try Repository.files($0) }
    let types = Set(try sources.flatMap { try $0.captures(#"\b(?:enum|struct) (\w+)"#) })
    for type in try Repository.file(page).captures(#"`(\w+)\.all`"#) {
      #expect(types.contains(type), "\(page) names \(type).all, which does not exist")
    }
  }

  /// The table of modules has a row for each target below the tests, and no other.
  @Test func theArchitectureListsEveryModule() throws {
    let package = try Repository.file("Package.swift")
    let targets = Set(
      try package.captures(#"library\(\s*"(\w+)""#)
        + package.captures(#"\.(?:target|systemLibrary|executableTarget)\(\s*name: "(\w+)""#)
    ).subtracting(["TestSupport"])
    let page = try Repository.file("Sources/README.md").text
    let start = try #require(page.range(of: "## Modules")).upperBound
    let section = page[start...].prefix { $0 != "#" }
    let rows = section.split(separator: "\n").filter { $0.hasPrefix("| `") }
    let listed = Set(
      rows.flatMap { row in
        row.split(separator: "|")[0].matches(of: #/`(\w+)`/#).map { String($0.1) }
      })
    #expect(listed == targets)
  }

  /// Comments and pages name modules, folders and types, not parts of a building.
  @Test func wordsForStructureAreTechnical() throws {
    let metaphor =
      #/\b[Hh]ouses?\b|\b[Rr]ooms\b|\b([Tt]his|[Tt]he|[Ee]ach|[Ee]very|[Oo]ther|[Aa]) room\b|House[A-Z]|func room\b/#
    let files = try ["Sources", "Tests", "Formats", "Fixtures"].flatMap {
      try Repository.files($0, ["swift", "c", "h", "py"])
    }
    for file in files where !file.path.hasSuffix("RulesTests.swift") {
      for line in file.unquoted.split(separator: "\n") {
        #expect(!line.contains(metaphor), "\(file): \(line)")
      }
    }
    for page in try Self.pages() {
      #expect(!page.prose.contains(metaphor), "\(page)")
    }
  }
}

extension Repository {
  /// Whether a path below the top exists.
  fileprivate static func exists(_ path: String) -> Bool {
    FileManager.default.fileExists(atPath: top.appendingPathComponent(path).path)
  }
}

extension Repository.File {
  /// A page without code blocks, code spans, and the targets of links.
  fileprivate var prose: String {
    text.replacing(#/(?s)```.*?```/#, with: "").replacing(#/`[^`]*`/#, with: "")
      .replacing(#/\]\([^)]*\)/#, with: "]")
  }

  /// A source file without strings on one line. Docstrings of Python stay.
  fileprivate var unquoted: String {
    text.replacing(#/"""/#, with: "").replacing(#/"(\\.|[^"\\\n])*"/#, with: "\"\"")
  }

  /// The anchors of the headings, as GitHub forms them.
  fileprivate var anchors: Set<String> {
    Set(
      lines.filter { $0.hasPrefix("#") }.map { line in
        line.drop { $0 == "#" }.dropFirst().lowercased()
          .filter { $0.isLetter || $0.isNumber || $0 == " " || $0 == "-" || $0 == "_" }
          .replacingOccurrences(of: " ", with: "-")
      })
  }
}

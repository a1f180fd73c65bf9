import Foundation
import Testing

/// Rules that hold for every file.
struct CodeRulesTests {
  @Test func noFileIsLong() throws {
    let limit = 500
    var seen = 0
    for folder in ["Sources", "Tests", "Formats", "Fixtures"] {
      for file in try Repository.files(folder, ["swift", "c", "h", "py", "sh"]) {
        seen += 1
        // A file that ends with a line break has an empty piece after it.
        let count = file.lines.count - (file.text.hasSuffix("\n") ? 1 : 0)
        #expect(count <= limit, "\(file) has \(count) lines")
      }
    }
    #expect(seen > 200)
  }

  /// What a file or a user can cause is an error with a sentence, and what is not done is not there.
  @Test(arguments: ["fatalError(", "try!", "as! ", "TODO", "FIXME", "nonisolated(unsafe)"])
  func sourcesHoldNo(word: String) throws {
    for folder in ["Sources", "Formats"] {
      for file in try Repository.files(folder) {
        #expect(!file.text.contains(word), "\(file) has '\(word)'")
      }
    }
  }

  /// Only the command prints; everybody else says things by events and results.
  @Test func onlyTheCommandPrints() throws {
    for file in try Repository.files("Sources") where !file.path.hasPrefix("Sources/Command/") {
      #expect(!file.code.contains("print("), "\(file) prints")
    }
  }

  /// Numbers read alike on the command line and in reports.
  @Test func numbersAreFormattedInOnePlace() throws {
    for file in try Repository.files("Sources")
    where file.path != "Sources/Tensors/Formatting.swift" {
      for word in ["String(format:", "NumberFormatter", "ByteCountFormatter", ".formatted("] {
        #expect(!file.text.contains(word), "\(file) has '\(word)'")
      }
    }
  }

  /// Who is not used is not there. Names of what libraries call are not seen.
  @Test func everythingIsUsed() throws {
    let calledByLibraries: Set<String> = [
      "allValueStrings", "appendLiteral", "defaultValueDescription",
    ]
    let files = try Repository.files("Sources") + Repository.files("Formats")
    let texts = files.map { $0.lines.filter { !$0.isComment }.joined(separator: "\n") }
    let words = texts.flatMap { $0.matches(of: #/\w+/#).map { String($0.output) } }
    let counts = Dictionary(words.map { ($0, 1) }, uniquingKeysWith: +)
    let declaration = #/\b(?:func|var|let|struct|enum|class|protocol|typealias) (\w+)/#
    var declared = 0
    for (file, text) in zip(files, texts) where !text.contains("@main") {
      for match in text.matches(of: declaration) {
        let name = String(match.1)
        declared += 1
        #expect(
          counts[name] != 1 || calledByLibraries.contains(name), "\(file): nobody uses '\(name)'")
      }
    }
    #expect(declared > 3000)
  }

  /// A file that names a place of one machine says nothing to anybody else.
  @Test func nothingNamesAMachinesPlaces() throws {
    // Put together here, so that this file does not hold them itself.
    let words = ["..", "", ""].map { $0 + "/" }.enumerated().map { index, start in
      start + ["shared", "work/", "root/"][index]
    }
    let files =
      try ["Sources", "Tests", "Formats", "Fixtures"].flatMap { folder in
        try Repository.files(folder, ["swift", "c", "h", "py", "sh", "md", "txt"])
      }
      + ["README.md", "Makefile", "Package.swift"].filter {
        FileManager.default.fileExists(atPath: Repository.top.appendingPathComponent($0).path)
      }.map(Repository.file)
    for file in files {
      for word in words {
        let found = file.lines.filter { line in
          line.ranges(of: word).contains { range in
            // `network/` and the like are other words.
            word.hasPrefix("..") || range.lowerBound == line.startIndex
              || " \"'(`=".contains(line[line.index(before: range.lowerBound)])
          }
        }
        #expect(found.isEmpty, "\(file): \(found.first ?? "")")
      }
    }
  }

  /// Raw memory lives in two rooms; beside them a file may only call a library or the system with
  /// `unsafe` written out, and only these do.
  @Test func rawMemoryStaysInItsRooms() throws {
    let callers = [
      "Sources/Packfiles/Zlib.swift", "Sources/Sampling/Pictures/PNG.swift",
      "Sources/Workflow/BenchJob.swift",
    ]
    for file in try Repository.files("Sources") {
      if file.path.hasPrefix("Sources/Tensors/") || file.path.hasPrefix("Sources/Kernels/") {
        continue
      }
      #expect(!file.code.contains("@unchecked"), "\(file) has unchecked promises")
      if callers.contains(file.path) { continue }
      #expect(!file.code.contains(#/\bunsafe\b|Unsafe(Mutable)?(Raw)?(Buffer)?Pointer/#), "\(file)")
    }
  }

  /// An unchecked promise is written down where it is made.
  @Test func uncheckedPromisesAreStated() throws {
    for file in try Repository.files("Sources") {
      let promises = file.lines.filter { $0.contains("@unchecked Sendable") }.count
      let stated = file.lines.filter { $0.contains("/// Unchecked: ") }.count
      #expect(promises == stated, "\(file)")
    }
  }
}

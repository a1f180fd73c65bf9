import Foundation
import Testing

/// Rules for every source file.
struct CodeRulesTests {
  @Test func noFileIsLong() throws {
    let limit = 500
    var seen = 0
    for folder in ["Sources", "Tests", "Formats", "Fixtures"] {
      for file in try Repository.files(folder, ["swift", "c", "h", "py", "sh"]) {
        seen += 1
        // A final line break leaves an empty piece after it.
        let count = file.lines.count - (file.text.hasSuffix("\n") ? 1 : 0)
        #expect(count <= limit, "\(file) has \(count) lines")
      }
    }
    #expect(seen > 200)
  }

  /// The formatter wraps neither comments nor strings. The lines of a string on several lines are
  /// excepted, because they are its content.
  @Test func noLineIsLong() throws {
    let limit = 120
    var seen = 0
    for folder in ["Sources", "Formats"] {
      for file in try Repository.files(folder) {
        var isInString = false
        var long: [Int] = []
        for (index, line) in file.lines.enumerated() {
          let isDelimiter = line.ranges(of: "\"\"\"").count % 2 == 1
          if !isInString, !isDelimiter {
            seen += 1
            if line.count > limit { long.append(index + 1) }
          }
          if isDelimiter { isInString.toggle() }
        }
        #expect(long.isEmpty, "\(file) has more than \(limit) columns in lines \(long)")
        #expect(!isInString, "\(file)")
      }
    }
    #expect(seen > 30_000)
  }

  /// What a file or a user can cause is a typed error. Unfinished work is not committed.
  @Test(arguments: ["fatalError(", "try!", "as! ", "TODO", "FIXME", "nonisolated(unsafe)"])
  func sourcesHoldNo(word: String) throws {
    for folder in ["Sources", "Formats"] {
      for file in try Repository.files(folder) {
        #expect(!file.text.contains(word), "\(file) has '\(word)'")
      }
    }
  }

  /// Only Command prints, through functions that escape control characters. Other modules report by
  /// events and results.
  @Test func onlyTheCommandPrints() throws {
    let place = "Sources/Support/StandardStreams.swift"
    let prints =
      #/\b(print|debugPrint|dump|puts|fputs|putchar|fwrite)\(|FileHandle\.standard|STD(OUT|ERR)_FILENO/#
    for file in try Repository.files("Sources") where file.path != place {
      #expect(!file.code.contains(prints), "\(file) prints")
      if file.path.hasPrefix("Sources/Command/") { continue }
      #expect(!file.code.contains(#/\bprint(Error|Result)\(/#), "\(file) prints")
    }
    let streams = try Repository.file(place).code
    #expect(streams.contains("printResult(") && streams.contains("escapedForTerminal(line)"))
  }

  /// One initializer makes texts of the bytes of files; it refuses texts that take long to compare.
  @Test func textsOfFilesAreMadeInOnePlace() throws {
    // Bytes that Decant made, of a fixed short length, or of another process.
    let others = [
      "Sources/Checkpoints/Diffusers/HubCache.swift", "Sources/Checkpoints/FileKind.swift",
      "Sources/Checkpoints/Torch/TorchRecords.swift",
      "Sources/Sampling/Images/PNG.swift", "Sources/Sampling/Images/PNGChunks.swift",
      "Sources/Sampling/Text/CLIPTokenizer.swift", "Sources/Sampling/Text/CLIPVocabulary.swift",
      "Sources/Support/JSONReader.swift", "Sources/Workflow/ChildProcess.swift",
    ]
    for file in try Repository.files("Sources") where file.path != "Sources/Support/FileText.swift"
    {
      #expect(!file.code.contains("String(validating:"), "\(file) makes a text")
      if others.contains(file.path) { continue }
      #expect(!file.code.contains("String(decoding:"), "\(file) makes a text")
    }
  }

  /// Only Command names commands and options. Errors of other modules state facts and carry a
  /// remedy.
  @Test func onlyTheCommandNamesOptions() throws {
    let names = try Repository.files("Sources/Command").flatMap {
      try $0.captures(#"commandName: "([a-z]+)""#)
    }
    #expect(names.contains("inspect"))
    let command = try Regex(#"\bdecant (\#(names.joined(separator: "|")))\b"#)
    let other = try Repository.files("Sources").filter {
      // The style sheet of the report has custom properties, such as `--ink`.
      !$0.path.hasPrefix("Sources/Command/")
        && $0.path != "Sources/Verification/ReportStyle.swift"
    }
    for file in try other + Repository.files("Formats") {
      for line in file.lines where !line.isComment {
        #expect(!line.contains(#/(^|[\s"'(])--[a-z]/#), "\(file): \(line)")
        #expect(!line.contains(#/[\s"'(]-[A-Za-z] [A-Z]/#), "\(file): \(line)")
        #expect(!line.contains(command), "\(file): \(line)")
      }
    }
  }

  /// Numbers have the same format on the command line and in reports.
  @Test func numbersAreFormattedInOnePlace() throws {
    for file in try Repository.files("Sources")
    where file.path != "Sources/Support/Formatting.swift" {
      for word in ["String(format:", "NumberFormatter", "ByteCountFormatter", ".formatted("] {
        #expect(!file.text.contains(word), "\(file) has '\(word)'")
      }
    }
  }

  /// `Task` states a cancellation only on the threads of the task itself. `Cancellation` does so on
  /// every thread that computes.
  @Test(arguments: ["Task.checkCancellation", "Task.isCancelled"])
  func cancellationIsReadInOnePlace(word: String) throws {
    for file in try Repository.files("Sources") {
      #expect(!file.code.contains(word), "\(file) has '\(word)'")
    }
  }

  /// Every declared name is used. Names that only libraries call are excepted.
  @Test func everythingIsUsed() throws {
    let calledByLibraries: Set<String> = [
      "allValueStrings", "appendLiteral", "defaultValueDescription", "enqueue",
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
          counts[name] != 1 || calledByLibraries.contains(name), "\(file): '\(name)' is unused")
      }
    }
    #expect(declared > 3000)
  }

  /// No file names a path of one machine.
  @Test func noFileNamesPathsOfOneMachine() throws {
    // Concatenated, so that this file does not contain them itself.
    let words = ["..", "", ""].map { $0 + "/" }.enumerated().map { index, start in
      start + ["shared", "work/", "root/"][index]
    }
    let files =
      try ["Sources", "Tests", "Formats", "Fixtures"].flatMap { folder in
        try Repository.files(folder, ["swift", "c", "h", "py", "sh", "md", "txt"])
      }
      + [
        "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "Makefile", "Package.swift",
      ].map(Repository.file)
    for file in files {
      for word in words {
        let found = file.lines.filter { line in
          line.ranges(of: word).contains { range in
            // The word must not be the end of a longer one, as in `network/`.
            word.hasPrefix("..") || range.lowerBound == line.startIndex
              || " \"'(`=".contains(line[line.index(before: range.lowerBound)])
          }
        }
        #expect(found.isEmpty, "\(file): \(found.first ?? "")")
      }
    }
  }

  /// Only three modules use raw memory. Elsewhere only these files call a library or the system with
  /// a marked `unsafe` expression.
  @Test func rawMemoryStaysInItsModules() throws {
    let modules = ["Support", "Tensors", "Kernels"].map { "Sources/\($0)/" }
    let callers = [
      "Sources/Packfiles/Zlib.swift", "Sources/Sampling/Images/PNG.swift",
    ]
    for file in try Repository.files("Sources") {
      if modules.contains(where: file.path.hasPrefix) { continue }
      #expect(!file.code.contains("@unchecked"), "\(file) has an unchecked conformance")
      if callers.contains(file.path) { continue }
      #expect(!file.code.contains(#/\bunsafe\b|Unsafe(Mutable)?(Raw)?(Buffer)?Pointer/#), "\(file)")
    }
  }

  /// Each `@unchecked Sendable` has a line that states why it is safe.
  @Test func uncheckedConformancesStateTheirReason() throws {
    for file in try Repository.files("Sources") {
      let conformances = file.lines.filter { $0.contains("@unchecked Sendable") }.count
      let stated = file.lines.filter { $0.contains("/// Unchecked: ") }.count
      #expect(conformances == stated, "\(file)")
    }
  }
}

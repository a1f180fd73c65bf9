import Checkpoints
import Foundation
import Support
import TestSupport
import Testing

/// Limits of counts, sizes and texts, which bound the memory and time of a hostile file.
struct LimitTests {
  private static let empty = #"{"dtype":"U8","shape":[0],"data_offsets":[0,0]}"#
  private static let marks = "a" + String(repeating: "\u{300}\u{323}", count: 100_000)

  /// The message of the error for a safetensors file; the number of its tensors where there is none.
  private func safetensorsMessage(_ members: [String]) -> String {
    let bytes = safetensors("{" + members.joined(separator: ",") + "}")
    do { return "\(try SafetensorsFile(ByteSlice(bytes), path: "f").names.count)" } catch {
      return "\(error)"
    }
  }

  @Test(.timeLimit(.minutes(5))) func tensorsOfSafetensorsFiles() {
    let members = (0...100_000).map { "\"\($0)\":\(Self.empty)" }
    #expect(safetensorsMessage(Array(members.dropLast())) == "100000")
    #expect(
      safetensorsMessage(members)
        == "f: the header has more than 100000 tensors, which no model has")
  }

  @Test func namesOfSafetensorsFiles() {
    let name = String(repeating: "n", count: 1000)
    #expect(safetensorsMessage(["\"\(name)\":\(Self.empty)"]) == "1")
    #expect(
      safetensorsMessage(["\"\(name)n\":\(Self.empty)"])
        == "f: tensor '\(name.prefix(120))…': the name has 1001 bytes, expected at most 1000")
  }

  @Test func metadataOfSafetensorsFiles() {
    let members = (0...10_000).map { "\"\($0)\":\"\"" }
    func file(_ members: some Sequence<String>) -> [String] {
      ["\"__metadata__\":{\(members.joined(separator: ","))}"]
    }
    #expect(safetensorsMessage(file(members.dropLast())) == "0")
    #expect(
      safetensorsMessage(file(members)) == "f: '__metadata__' has more than 10000 members")
  }

  /// Without the limit, the names of a few such tensors take minutes to compare.
  @Test(.timeLimit(.minutes(5))) func combiningMarks() throws {
    #expect(
      safetensorsMessage(["\"\(Self.marks)\":\(Self.empty)"])
        == "f: the header is invalid JSON: a string with more than 30 combining marks in a row (at byte 1)"
    )
    #expect(
      try ggufMessage(GGUFTests.small(key: String(Self.marks.unicodeScalars.prefix(1000))))
        .hasSuffix(
          "a text with more than 30 combining marks in a row, expected a text in UTF-8"))
    #expect(
      torchRefusal(torchFile(Pickle.dictionary([(Self.marks, Pickle.none)]))).hasSuffix(
        "a string that is a text with more than 30 combining marks in a row; the file is damaged"))
    let name = "m/a" + String(repeating: "\u{300}", count: 31)
    #expect(
      torchRefusal(zip([ZIPSample(name, [])])).hasSuffix(
        "the name of entry 0 of the ZIP archive is a text with more than 30 combining marks in a row"
      ))
  }

  // MARK: - GGUF

  private func ggufMessage(_ bytes: [UInt8]) throws -> String {
    try withTemporaryFolder { folder in
      try write(bytes, to: folder + "/f.gguf")
      return message { _ = try Archives.open(folder + "/f.gguf") }
        .replacingOccurrences(of: folder + "/f.gguf: ", with: "")
    }
  }

  @Test func namesOfGGUFFiles() throws {
    let name = String(repeating: "n", count: 1000)
    #expect(try ggufMessage(GGUFTests.small(name: name)) == "no error")
    #expect(
      try ggufMessage(GGUFTests.small(name: name + "n"))
        == "the length of a tensor's name is 1001, expected at most 1000")
    let key = String(repeating: "k", count: 65_536)
    #expect(
      try ggufMessage(GGUFTests.small(key: key))
        == "the length of a key is 65536, expected at most 65535")
  }

  /// The counts are compared before anything is read.
  @Test func countsOfGGUFFiles() throws {
    let data = 32 << 20
    #expect(
      try ggufMessage(GGUFTests.small(tensors: 100_001, data: data))
        == "the number of tensors is 100001, expected at most 100000")
    #expect(
      try ggufMessage(GGUFTests.small(values: 10_001, data: data))
        == "the number of values is 10001, expected at most 10000")
  }

  /// A text of 150 MB in a file of zeros, which takes no space on the disk.
  @Test func bytesOfGGUFHeaders() throws {
    let count = Pickle.number(150_000_000, 8)
    try withTemporaryFolder { folder in
      let path = folder + "/f.gguf"
      try write(GGUFTests.small(type: 8, value: count), to: path)
      #expect(truncate(path, 200_000_000) == 0)
      #expect(
        message { _ = try Archives.open(path) }
          == "\(path): the header has more than 100000000 bytes, with the value of 'k'")
    }
  }

  private static func array(_ type: Int, _ count: Int, _ elements: [UInt8]) -> [UInt8] {
    Pickle.number(type, 4) + Pickle.number(count, 8) + elements
  }

  private func metadata(_ value: [UInt8]) throws -> JSONValue? {
    try withTemporaryFolder { folder in
      try write(GGUFTests.small(type: 9, value: value), to: folder + "/f.gguf")
      return try Archives.open(folder + "/f.gguf").metadata["k"]
    }
  }

  /// Elements that are not kept take no time each where they have a fixed size, and little where
  /// they have not.
  @Test(.timeLimit(.minutes(5))) func arraysOfGGUFFiles() throws {
    let count = 1_000_000
    for (type, width) in [(0, 1), (3, 2), (5, 4), (6, 4), (7, 1), (10, 8), (11, 8), (12, 8)] {
      let value = try metadata(
        Self.array(type, count, [UInt8](repeating: 1, count: count * width)))
      #expect(value?.array?.count == 65 && value?.array?.last == "and 999936 more", "\(type)")
    }
    let texts = (0..<count).flatMap { _ in [2, 0, 0, 0, 0, 0, 0, 0, 0x61, 0x62] as [UInt8] }
    #expect(try metadata(Self.array(8, count, texts))?.array?.first == "ab")
    #expect(
      try ggufMessage(
        GGUFTests.small(type: 9, value: Self.array(12, 1_000_000, []), data: 4 << 20)
      ).contains("ends at byte"))
    #expect(
      try ggufMessage(
        GGUFTests.small(type: 9, value: Self.array(99, 100, []), data: 4 << 20))
        == "the type of 'k' is 99, expected 0 to 12")
  }

  /// Arrays of arrays keep 100,000 elements in all.
  @Test(.timeLimit(.minutes(5))) func arraysInArrays() throws {
    let inner = Self.array(0, 64, [UInt8](repeating: 1, count: 64))
    let middle = Self.array(9, 64, (0..<64).flatMap { _ in inner })
    let outer = try metadata(Self.array(9, 64, (0..<64).flatMap { _ in middle }))
    func elements(_ value: JSONValue) -> Int {
      value.array.map { $0.reduce(0) { $0 + 1 + elements($1) } } ?? 0
    }
    let kept = try elements(#require(outer))
    #expect(kept > 90_000 && kept < 110_000)
    let last = outer?.array?.last?.array?.last
    #expect(last == ["and 64 more"] || last == "and 64 more")
  }

  // MARK: - Pickles

  @Test func classesOfPickles() {
    func pickle(_ count: Int) -> [UInt8] {
      (0..<count).flatMap { Pickle.global("m\($0)", "C") + [UInt8(ascii: "0")] } + Pickle.none
    }
    #expect(torchRefusal(torchFile(pickle(1000))).hasSuffix("expected a dictionary of tensors"))
    #expect(
      torchRefusal(torchFile(pickle(1001))).hasSuffix(
        "names of more than 1000 classes and functions, which no checkpoint needs"))
    // The same one counts once.
    let same = (0..<10_000).flatMap { _ in Pickle.global("m", "C") + [UInt8(ascii: "0")] }
    #expect(
      torchRefusal(torchFile(same + Pickle.none)).hasSuffix("expected a dictionary of tensors"))
    // A harmless name does not make another harmless whose parts are split elsewhere.
    let twice = Pickle.text("") + Pickle.text("os.system") + [0x93]
    #expect(
      torchRefusal(torchFile(twice + Pickle.text(".os") + Pickle.text("system") + [0x93])).contains(
        "which would run code"))
  }
}

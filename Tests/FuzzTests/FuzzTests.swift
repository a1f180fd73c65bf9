import Foundation
import TestSupport
import Testing

/// Every reader ends every input, however damaged or hostile, with a result or an error: without a
/// crash, within limits of time and memory, and without control characters in what is printed.
///
/// Inputs are numbered, and a number always gives the same input. `make fuzz` tries others for
/// longer; these variables of the environment are its settings:
///
/// - `DECANT_FUZZ_SECONDS`: for how long all readers together are tried.
/// - `DECANT_FUZZ_READER`: the name of the only reader to try.
/// - `DECANT_FUZZ_FIRST`: the number of the first input.
@Suite(.serialized) struct FuzzTests {
  private static let environment = ProcessInfo.processInfo.environment

  private static var readers: [Reader] {
    let name = environment["DECANT_FUZZ_READER"] ?? ""
    return name.isEmpty ? Reader.all : Reader.all.filter { $0.name == name }
  }

  @Test func theReaderExists() {
    let names = Reader.all.map(\.name).joined(separator: ", ")
    #expect(!Self.readers.isEmpty, "DECANT_FUZZ_READER is none of \(names)")
  }

  @Test(arguments: readers) func everyInputEnds(reader: Reader) throws {
    let first = Self.environment["DECANT_FUZZ_FIRST"].flatMap { Int($0) } ?? 0
    let seconds = Self.environment["DECANT_FUZZ_SECONDS"].flatMap { Double($0) }
    let program = try #require(builtProgram, "the program was not built")
    try withTemporaryFolder { folder in
      let run = try FuzzRun(reader, program: program, in: folder)
      let start = ContinuousClock.now
      var number = first
      // Without a time, a few inputs, in the seconds that other tests take.
      let isDue = {
        guard let seconds else { return number < first + 4 }
        return number == first
          || (ContinuousClock.now - start) / .seconds(1) < seconds / Double(Self.readers.count)
      }
      while isDue() {
        if let failure = try run.tryInput(number) {
          Issue.record(
            "\(reader.name) \(number) \(failure); the input is in \(run.savedPath(number))")
        }
        number += 1
      }
      if seconds != nil { print(run.summary(first..<number)) }
    }
  }

  /// Variants of files that are refused unchanged would not reach what is behind the refusal.
  @Test(arguments: [Reader.kQuants, .adapters, .inputs, .inputIDs])
  func smallFilesAreRead(reader: Reader) throws {
    let program = try #require(builtProgram, "the program was not built")
    try withTemporaryFolder { folder in
      let outcomes = try FuzzRun(reader, program: program, in: folder).outcomesOfSmallFiles()
      #expect(!outcomes.isEmpty && outcomes.allSatisfy { $0 == .read }, "\(outcomes)")
    }
  }

  @Test func inputsAreReproducible() throws {
    let bytes = [UInt8]("{\"a\": 12, \"b\": [1, 2, 3]}".utf8)
    func inputs() -> [[UInt8]] {
      (0..<200).map { number in
        var mutator = Mutator(random: Randomness(reader: "test", number: number), other: bytes)
        return mutator.mutate(bytes)
      }
    }
    #expect(inputs() == inputs())
    #expect(Set(inputs()).count > 150)
  }

  /// What the harness must find, made by a shell.
  @Test func failuresAreFound() throws {
    func outcome(_ script: String, limit: Double = 10) throws -> Trial.Outcome {
      try withTemporaryFolder { folder in
        try Trial.run("/bin/sh", ["-c", script], in: folder, limit: limit).outcome
      }
    }
    #expect(try outcome("exit 0") == .read)
    #expect(try outcome("echo decant: no >&2; exit 2") == .refused)
    for (script, words) in [
      ("kill -SEGV $$", "ended by signal 11"), ("exit 3", "exit code 3"),
      ("exit 2", "refuses without words"), ("printf '\\033[31m'", "prints U+1b to output"),
      ("printf 'a\\nnote: forged\\n' >&2", "forged"), ("touch .a.1.partial", "leaves .a.1.partial"),
    ] {
      guard case .failed(let found) = try outcome(script) else {
        Issue.record("'\(script)' is not found")
        continue
      }
      #expect(found.contains(words))
    }
    #expect(try outcome("exec sleep 60", limit: 0.2) == .failed("runs for more than 0.2 s"))
  }
}

import Foundation
import TestSupport

/// The inputs of one reader, one after another, in one folder.
final class FuzzRun {
  private let reader: Reader
  private let program: String
  private let folder: String
  private let seeds: [[UInt8]]
  private var outcomes: [String: Int] = [:]
  private var slowest = 0.0
  private var largest = 0

  /// Copies the model and makes the reader's valid files.
  init(_ reader: Reader, program: String, in folder: String) throws {
    self.reader = reader
    self.program = program
    self.folder = folder
    let files = FileManager.default
    try files.copyItem(atPath: fixture("golden/pipeline"), toPath: folder + "/model")
    for arguments in reader.preparations {
      let trial = try Trial.run(program, arguments, in: folder)
      guard trial.outcome == .read else { throw Unprepared(arguments: arguments, trial: trial) }
    }
    seeds = try reader.seeds.map { seed, _ in try Self.contents(of: seed, in: folder) }
    for (seed, path) in reader.files {
      try Self.write(Self.contents(of: seed, in: folder), to: folder + "/" + path)
    }
  }

  private static func contents(of seed: Reader.Seed, in folder: String) throws -> [UInt8] {
    switch seed {
    case .fixture(let name): try bytes(fixture(name))
    case .made(let name): try bytes(folder + "/" + name)
    case .text(let text): Array(text.utf8)
    case .bytes(let bytes): bytes
    }
  }

  private static func write(_ bytes: [UInt8], to path: String) throws {
    let place = URL(fileURLWithPath: path)
    try FileManager.default.createDirectory(
      at: place.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: place)
  }

  private struct Unprepared: Error {
    let arguments: [String]
    let trial: Trial
  }

  private static func bytes(_ path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
  }

  /// The changed file of a number, and its path in the folder.
  private func input(_ number: Int) -> (bytes: [UInt8], path: String) {
    var random = Randomness(reader: reader.name, number: number)
    let index = random.below(seeds.count)
    let isBehindChecksums = random.below(4) > 0
    var mutator = Mutator(random: random, other: seeds[random.below(seeds.count)])
    let part = isBehindChecksums ? reader.part?(seeds[index]) : nil
    let bytes =
      part.map { $0.replaced(mutator.mutate($0.bytes)) } ?? mutator.mutate(seeds[index])
    return (bytes, reader.seeds[index].path)
  }

  /// The outcome of the reader's command for each of its files that ``SmallFiles`` makes, unchanged.
  func outcomesOfSmallFiles() throws -> [Trial.Outcome] {
    try zip(reader.seeds, seeds).compactMap { seed, bytes in
      guard case .bytes = seed.seed else { return nil }
      try Self.write(bytes, to: folder + "/" + seed.path)
      return try Trial.run(program, reader.command, in: folder).outcome
    }
  }

  /// Runs the reader's command on an input.
  ///
  /// - Returns: what must not happen, or `nil`. The input is then saved at ``savedPath(_:)``.
  func tryInput(_ number: Int) throws -> String? {
    let (bytes, path) = input(number)
    let place = URL(fileURLWithPath: folder + "/" + path)
    let original = try? Data(contentsOf: place)
    try Data(bytes).write(to: place)
    let trial = try Trial.run(program, reader.command, in: folder)
    if let original {
      try original.write(to: place)
    } else {
      try FileManager.default.removeItem(at: place)
    }
    slowest = max(slowest, trial.seconds)
    largest = max(largest, trial.megabytes)
    switch trial.outcome {
    case .read: outcomes["read", default: 0] += 1
    case .refused: outcomes["refused", default: 0] += 1
    case .failed(let reason):
      outcomes["failed", default: 0] += 1
      let saved = URL(fileURLWithPath: savedPath(number))
      try FileManager.default.createDirectory(
        at: saved.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: saved)
      return reason
    }
    return nil
  }

  /// Where a failing input is kept: `.build/fuzz/gguf-12-a.gguf`.
  func savedPath(_ number: Int) -> String {
    let top = URL(fileURLWithPath: fixture("")).deletingLastPathComponent()
    let name = input(number).path.replacingOccurrences(of: "/", with: "_")
    return top.appendingPathComponent(".build/fuzz/\(reader.name)-\(number)-\(name)").path
  }

  /// `gguf: inputs 0 to 131: 12 read, 120 refused, 0 failed; slowest 0.4 s, largest 80 MB`
  func summary(_ numbers: Range<Int>) -> String {
    let counts = ["read", "refused", "failed"].map { "\(outcomes[$0] ?? 0) \($0)" }
    return "\(reader.name): inputs \(numbers.lowerBound) to \(numbers.upperBound - 1): "
      + counts.joined(separator: ", ")
      + String(format: "; slowest %.1f s, largest %d MB", slowest, largest)
  }
}

import Foundation
import TestSupport
import Testing

/// The exit code and the output of a run.
struct Ending {
  let code: Int32
  let output: String
  let errors: String
}

enum Decant {
  /// Starts the program in `folder`.
  ///
  /// - Parameter environment: variables in addition to those of this process.
  static func start(
    _ arguments: [String], in folder: String, environment: [String: String] = [:]
  ) throws -> Running {
    let process = Process()
    process.executableURL = URL(
      fileURLWithPath: try #require(builtProgram, "the program was not built"))
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    process.standardInput = FileHandle.nullDevice
    // Files, not pipes: a full pipe would stop the program.
    let logs = FileManager.default.temporaryDirectory.appendingPathComponent(
      "decant-log-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: logs, withIntermediateDirectories: true)
    let (out, err) = (logs.appendingPathComponent("out"), logs.appendingPathComponent("err"))
    for file in [out, err] { try Data().write(to: file) }
    process.standardOutput = try FileHandle(forWritingTo: out)
    process.standardError = try FileHandle(forWritingTo: err)
    try process.run()
    return Running(process: process, logs: logs)
  }

  static func run(
    _ arguments: [String], in folder: String, environment: [String: String] = [:]
  ) throws -> Ending {
    try start(arguments, in: folder, environment: environment).end()
  }
}

struct Running {
  let process: Process
  fileprivate let logs: URL

  /// Waits for the program to end.
  func end() throws -> Ending {
    process.waitUntilExit()
    defer { try? FileManager.default.removeItem(at: logs) }
    func text(_ name: String) throws -> String {
      String(decoding: try Data(contentsOf: logs.appendingPathComponent(name)), as: UTF8.self)
    }
    return Ending(
      code: process.terminationStatus, output: try text("out"), errors: try text("err"))
  }

  /// Waits until standard error contains `text`, at most one minute.
  func waitFor(_ text: String) throws {
    let file = logs.appendingPathComponent("err")
    for _ in 0..<6000 where process.isRunning {
      if String(decoding: try Data(contentsOf: file), as: UTF8.self).contains(text) { return }
      Thread.sleep(forTimeInterval: 0.01)
    }
  }
}

/// Runs `body` with a folder that holds a link `model` to a pipeline of 300,000 random weights.
func withModel(_ body: (String) throws -> Void) throws {
  try withTemporaryFolder { folder in
    try FileManager.default.createSymbolicLink(
      atPath: folder + "/model", withDestinationPath: fixture("golden/pipeline"))
    try body(folder)
  }
}

/// Runs the program and compares its exit code and, where given, its standard error.
@discardableResult
func expectDecant(
  _ arguments: [String], in folder: String, exit code: Int32 = 0, stderr: String? = nil,
  sourceLocation: SourceLocation = #_sourceLocation
) throws -> Ending {
  let ending = try Decant.run(arguments, in: folder)
  #expect(ending.code == code, "\(ending.errors)", sourceLocation: sourceLocation)
  if let stderr {
    // The temporary folder's path differs in every run.
    let said = ending.errors.replacingOccurrences(of: folder, with: "FOLDER")
    #expect(said == stderr + "\n", sourceLocation: sourceLocation)
  }
  return ending
}

/// Names of the files in a folder, with hidden ones, sorted.
func names(_ folder: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
}

func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

import Foundation
import TestSupport
import Testing

/// What the program said and how it ended.
struct Ending {
  let code: Int32
  let output: String
  let errors: String
}

/// The built program. The build puts it into the folder of the test bundle, under the product's
/// name or, where the package has no products, under the target's.
enum Decant {
  static let path: String? = {
    var places =
      [CommandLine.arguments[0]] + CommandLine.arguments.filter { $0.hasSuffix(".xctest") }
    places.append(Bundle.main.bundlePath + "/x")
    if let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
      places.append(path)
    }
    for place in places {
      let folder = URL(fileURLWithPath: place).deletingLastPathComponent()
      for name in ["decant", "Command"] {
        let path = folder.appendingPathComponent(name).path
        if FileManager.default.isExecutableFile(atPath: path) { return path }
      }
    }
    return nil
  }()

  /// The program, started in `folder` with its output going to files there.
  ///
  /// - Parameter environment: what is set beside this process's own.
  static func start(
    _ arguments: [String], in folder: String, environment: [String: String] = [:]
  ) throws -> Running {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(path, "the program was not built"))
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    process.standardInput = FileHandle.nullDevice
    // Files, not pipes: nobody has to read while the program runs.
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

  /// Waits, and gives what was said.
  func end() throws -> Ending {
    process.waitUntilExit()
    defer { try? FileManager.default.removeItem(at: logs) }
    func text(_ name: String) throws -> String {
      String(decoding: try Data(contentsOf: logs.appendingPathComponent(name)), as: UTF8.self)
    }
    return Ending(
      code: process.terminationStatus, output: try text("out"), errors: try text("err"))
  }

  /// Waits until something is said that holds `text`, for at most a minute.
  func waitFor(_ text: String) throws {
    let file = logs.appendingPathComponent("err")
    for _ in 0..<6000 where process.isRunning {
      if String(decoding: try Data(contentsOf: file), as: UTF8.self).contains(text) { return }
      Thread.sleep(forTimeInterval: 0.01)
    }
  }
}

/// A folder with a link `model` to a pipeline of 300,000 random weights.
func withModel(_ body: (String) throws -> Void) throws {
  try withTemporaryFolder { folder in
    try FileManager.default.createSymbolicLink(
      atPath: folder + "/model", withDestinationPath: fixture("golden/pipeline"))
    try body(folder)
  }
}

/// Runs the program and compares its exit code and, where given, all that it said.
@discardableResult
func expectDecant(
  _ arguments: [String], in folder: String, exit code: Int32 = 0, stderr: String? = nil,
  sourceLocation: SourceLocation = #_sourceLocation
) throws -> Ending {
  let ending = try Decant.run(arguments, in: folder)
  #expect(ending.code == code, "\(ending.errors)", sourceLocation: sourceLocation)
  if let stderr {
    // Where the folder lies is nobody's business.
    let said = ending.errors.replacingOccurrences(of: folder, with: "FOLDER")
    #expect(said == stderr + "\n", sourceLocation: sourceLocation)
  }
  return ending
}

/// Names in a folder, hidden ones too, sorted.
func names(_ folder: String) throws -> [String] {
  try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
}

func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

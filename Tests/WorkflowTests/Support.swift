import Foundation
import ModelSources
import Packfiles
import Support
import Tensors
import TestSupport
import Workflow

/// The trained miniature model.
let miniature = fixture("mini-sd")

/// A pipeline of 300,000 random weights.
let tiny = fixture("golden/pipeline")

extension Job {
  /// Runs the job where nobody watches.
  func run() async throws -> Outcome { try await run { _ in } }
}

/// A folder of its own for a test that waits, removed afterwards.
func withTemporaryFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
  let folder = FileManager.default.temporaryDirectory
    .appendingPathComponent("decant-test-\(UUID().uuidString)").path
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  return try await body(folder)
}

/// A model of a `.decant` file.
func packed(_ path: String) throws -> ModelSource {
  try PackfileLayout().read(path, options: ReadOptions())
}

/// Bytes of every weight by name, with its encoding and shape.
func weights(_ model: ModelSource) throws -> [String: [String]] {
  var all: [String: [String]] = [:]
  for component in model.components {
    for name in component.weights.names {
      let tensor = try component.weights.tensor(name)
      all["\(component.name)/\(name)"] =
        ["\(tensor.shape) \(tensor.encoding.name)"]
        + tensor.parts.map { Data($0.array).base64EncodedString() }
    }
  }
  return all
}

extension JSONValue {
  subscript(_ name: String) -> JSONValue? { object?[name] }
}

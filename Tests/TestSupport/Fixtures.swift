private import Foundation
package import ModelSources
package import Tensors

/// The path of a file in `Fixtures/`.
package func fixture(_ name: String) -> String {
  // This file is Tests/TestSupport/Fixtures.swift.
  let here = URL(fileURLWithPath: #filePath)
  return here.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fixtures").appendingPathComponent(name).path
}

/// Calls `body` with the path of a new folder, which is removed afterwards.
@discardableResult
package func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory
    .appendingPathComponent("decant-test-\(UUID().uuidString)").path
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  return try body(folder)
}

/// The relative error of `found`: the root mean square of the difference divided by that of
/// `expected`, in float64.
package func relativeError(_ found: [Float], _ expected: [Float]) -> Double {
  precondition(found.count == expected.count, "\(found.count) numbers beside \(expected.count)")
  var difference = 0.0
  var power = 0.0
  for (a, b) in zip(found, expected) {
    let delta = Double(a) - Double(b)
    difference += delta * delta
    power += Double(b) * Double(b)
  }
  return power == 0 ? (difference == 0 ? 0 : .infinity) : (difference / power).squareRoot()
}

/// Tensors that their file has under names that begin with `file.`.
package struct PrefixedInFile: WeightSource {
  private let base: any WeightSource

  package init(base: any WeightSource) { self.base = base }

  package var location: String { base.location }
  package var names: [String] { base.names }
  package func entry(_ name: String) -> TensorEntry? { base.entry(name) }
  package func storedName(_ name: String) -> String { "file." + name }
  package func tensor(_ name: String) throws -> StoredTensor { try base.tensor(name) }
}

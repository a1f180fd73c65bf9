import Checkpoints
import Execution
import ModelSources
import Models
import Support
import Synchronization
import Tensors
import TestSupport
import Testing

/// The maximum error of outputs, relative to the root mean square of those of diffusers and
/// transformers.
///
/// Decant promises 1e-4. Both sides compute in float32 with sums in different orders, which changes
/// the outputs of these small models by about 1e-6. Ten times that still detects a wrong epsilon or
/// a rounded constant.
let goldenTolerance = 1e-5

/// One component with inputs and outputs, written by `Fixtures/golden/make_components.py`.
struct Golden {
  let file: SafetensorsFile
  let config: JSONObject

  init(_ name: String) throws {
    file = try SafetensorsFile(path: fixture("golden/components-\(name).safetensors"))
    let text = try #require(file.metadata["config"], "re-run Fixtures/golden/make_components.py")
    config = try #require(try JSONValue(parsing: text).object)
  }

  var weights: GoldenWeights { GoldenWeights(file: file) }
  var location: String { file.path }
  var className: String? { file.metadata["class"] }

  func tensor(_ name: String) throws -> Tensor { try file.tensor(name).widened() }
  func input(_ name: String) throws -> Tensor { try tensor("input." + name) }
  func has(_ name: String) -> Bool { file.entry(name) != nil }

  /// Compares a tensor with the file's tensor of that name.
  func expect(_ found: Tensor?, _ name: String, location: SourceLocation = #_sourceLocation) throws
  {
    let expected = try tensor(name)
    let found = try #require(found, "\(name) was not seen", sourceLocation: location)
    #expect(found.shape.count == expected.shape.count, "\(name)", sourceLocation: location)
    let error = relativeError(found.values, expected.values)
    #expect(error <= goldenTolerance, "\(name): \(error)", sourceLocation: location)
  }

  /// Compares all blocks and layers of the file with the recorded activations.
  func expect(_ recorder: Recorder) throws {
    for name in file.names where name.hasPrefix("block.") {
      try expect(recorder.blocks[String(name.dropFirst(6))], name)
    }
    for name in file.names where name.hasPrefix("layer.") {
      try expect(recorder.modules[String(name.dropFirst(6))], name)
    }
  }
}

/// The component's weights, with the prefix of their names that newer versions of transformers
/// omit.
struct GoldenWeights: WeightSource {
  let file: SafetensorsFile

  var location: String { file.path }

  var names: [String] {
    let names = file.names.filter { $0.hasPrefix("weights.") }.map { String($0.dropFirst(8)) }
    let isBare = names.contains("embeddings.token_embedding.weight")
    return isBare ? names.map { "text_model." + $0 } : names
  }

  private func stored(_ name: String) -> String {
    let full = "weights." + name
    return file.entry(full) == nil && name.hasPrefix("text_model.")
      ? "weights." + name.dropFirst(11) : full
  }

  func entry(_ name: String) -> TensorEntry? { file.entry(stored(name)) }
  func tensor(_ name: String) throws -> StoredTensor { try file.tensor(stored(name)) }
}

/// An observer that records all activations of a component.
final class Recorder: ActivationObserver {
  private let state = Mutex<(modules: [String: Tensor], blocks: [String: Tensor])>(([:], [:]))

  var modules: [String: Tensor] { state.withLock { $0.modules } }
  var blocks: [String: Tensor] { state.withLock { $0.blocks } }

  func willRun(module name: String, input: Tensor) {
    state.withLock { $0.modules[name] = input }
  }

  func didRun(block name: String, output: Tensor) {
    state.withLock { $0.blocks[name] = output }
  }

  /// Expects that exactly the matrices of `modules`, and their blocks, were recorded.
  func expectAll(of modules: [ModuleSpec]) {
    let matrices = modules.filter(\.kind.isMatrix)
    #expect(Set(self.modules.keys) == Set(matrices.map(\.name)))
    for module in matrices {
      let width = module.kind == .linear ? self.modules[module.name]?.shape[1] : nil
      #expect(width == nil || width == module.weight.shape[1], "\(module.name)")
    }
    let missing = Set(matrices.map(\.block)).subtracting(blocks.keys)
    // The text projection has no block output of its own.
    #expect(missing.subtracting(["text_projection"]).isEmpty)
  }
}

import Formats
import Tensors

/// The complete change of a weight, and of a bias. LyCORIS's `full` and extracted adapters store it
/// where a product would not be smaller, and its norms have no other form.
struct FullDifference: AdapterKind {
  let name = "whole difference"
  let peftType: String? = nil
  let ranked: AdapterPart? = nil
  let takesAlpha = false

  func recognizes(_ module: AdapterFile.Module) -> Bool { module.has(.difference) }

  func check(
    _ module: AdapterFile.Module, key: String, against shape: Shape, in file: AdapterFile
  ) throws(AdapterError) {
    guard let name = module.parts[.difference] else { return }
    _ = try file.extents(name, rows: shape.rows, row: shape.row)
  }

  func delta(
    _ module: AdapterFile.Module, key: String, of weight: Tensor, in file: AdapterFile
  ) throws -> [Float] {
    let shape = weight.shape
    // The change of a bias alone.
    guard let name = module.parts[.difference] else {
      return [Float](repeating: 0, count: shape.count)
    }
    return try file.matrix(name, rows: shape.rows, row: shape.row).values
  }
}

import Tensors

/// The whole change of a weight, as LyCORIS's `full` and extracted adapters store it where a product
/// would not be smaller; with it, or alone, the change of a bias.
struct FullDifference: AdapterKind {
  let name = "whole difference"
  let ranked: String? = nil

  func recognizes(_ module: AdapterFile.Module) -> Bool {
    module.has("diff") || (module.has("diff_b") && !module.has("down") && !module.has("hada_w1_a"))
  }

  func check(
    _ module: AdapterFile.Module, key: String, against shape: Shape, in file: AdapterFile
  ) throws(AdapterError) {
    guard let name = module.parts["diff"] else { return }
    _ = try file.extents(name, rows: shape.rows, columns: shape.rowLength)
  }

  func delta(
    _ module: AdapterFile.Module, key: String, of shape: Shape, in file: AdapterFile
  ) throws -> [Float] {
    guard let name = module.parts["diff"] else {
      return [Float](repeating: 0, count: shape.count)
    }
    return try file.matrix(name, rows: shape.rows, columns: shape.rowLength).values
  }
}

import Formats
import Tensors

/// The whole change of a weight, as LyCORIS's `full` and extracted adapters store it where a product
/// would not be smaller; with it, or alone, the change of a bias.
struct FullDifference: AdapterKind {
  func recognizes(_ module: AdapterFile.Module) -> Bool {
    // The change of a bias may stand beside any kind.
    module.has(.difference)
      || (module.has(.biasDifference) && !module.has(.down) && !module.has(.firstOuter))
  }

  func delta(
    _ module: AdapterFile.Module, key: String, of shape: Shape, in file: AdapterFile
  ) throws -> [Float] {
    guard let name = module.parts[.difference] else {
      return [Float](repeating: 0, count: shape.count)
    }
    return try file.matrix(name, rows: shape.rows, columns: shape.rowLength).values
  }
}

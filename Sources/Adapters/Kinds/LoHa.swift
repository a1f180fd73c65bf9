import Formats
import Kernels
import Tensors

/// The element-wise product of two low-rank matrices (Hyeon-Woo et al. 2021, arXiv 2108.06098), as
/// LyCORIS stores it.
struct LoHa: AdapterKind {
  let name = "LoHa"
  let peftType: String? = "LOHA"
  let ranked: AdapterPart? = .firstInner

  /// The parts of each of the two matrices.
  private static let factors: [(outer: AdapterPart, inner: AdapterPart, core: AdapterPart)] = [
    (.firstOuter, .firstInner, .firstCore), (.secondOuter, .secondInner, .secondCore),
  ]

  func recognizes(_ module: AdapterFile.Module) -> Bool {
    Self.factors.contains { outer, inner, core in
      [outer, inner, core].contains(where: module.has)
    }
  }

  func check(
    _ module: AdapterFile.Module, key: String, against shape: Shape, in file: AdapterFile
  ) throws(AdapterError) {
    for (outer, inner, core) in Self.factors {
      let outer = try module.part(outer, key: key, in: file)
      let inner = try module.part(inner, key: key, in: file)
      if let core = module.parts[core] {
        let rank = try file.extents(outer, row: [shape.rows]).rows
        try checkTucker(core, down: inner, rank: rank, shape: shape, in: file)
      } else {
        let rank = try file.extents(outer, rows: shape.rows).columns
        _ = try file.extents(inner, rows: rank, row: shape.row)
      }
    }
  }

  func delta(
    _ module: AdapterFile.Module, key: String, of weight: Tensor, in file: AdapterFile
  ) throws -> [Float] {
    let shape = weight.shape
    let factors = try Self.factors.map { outer, inner, core -> (values: [Float], rank: Int) in
      let outer = try module.part(outer, key: key, in: file)
      let inner = try module.part(inner, key: key, in: file)
      if let core = module.parts[core] {
        // In the Tucker form, both factors have the rank as their first axis.
        let wide = try file.matrix(outer, row: [shape.rows])
        let turned = transposed(wide)
        let narrow = try file.matrix(inner, row: [shape.inputs])
        let product = try tucker(core, up: turned, down: narrow, shape: shape, in: file)
        return (product.values, wide.shape[0])
      }
      let wide = try file.matrix(outer, rows: shape.rows)
      let narrow = try file.matrix(inner, rows: wide.shape[1], row: shape.row)
      return (matmul(wide, narrow).values, wide.shape[1])
    }
    let factor = try file.factor(module, rank: factors[0].rank)
    return zip(factors[0].values, factors[1].values).map { $0 * $1 * factor }
  }
}

import Formats
import Kernels
import ModelSources
import Tensors

/// The Kronecker product of two factors (Yeh et al. 2023, arXiv 2309.14859), as LyCORIS and PEFT
/// store it. Each factor is whole or a product of two matrices; the second, which has the kernel of
/// a convolution, may have the Tucker form.
struct LoKr: AdapterKind {
  let name = "LoKr"
  let peftType: String? = "LOKR"
  let ranked: AdapterPart? = nil

  private static let parts: [AdapterPart] = [
    .firstLoKr, .firstOuterLoKr, .firstInnerLoKr, .secondLoKr, .secondOuterLoKr, .secondInnerLoKr,
    .coreLoKr,
  ]

  /// The tensors of the second factor.
  private enum Second {
    case whole(String)
    case product(outer: String, inner: String, rank: Int)
    case tucker(outer: String, inner: String, core: String)
  }

  /// The tensors of a module with the extents that they determine.
  private struct Layout {
    /// The first factor, [rows, columns], whole or as a product.
    let first: [String]
    let rows: Int
    let columns: Int
    let second: Second
    /// The shape of the second factor: [out / rows, in / columns, kernel].
    let shape: Shape
    /// The rank of the second factor, else of the first; `nil` where both are whole.
    let rank: Int?
  }

  func recognizes(_ module: AdapterFile.Module) -> Bool { Self.parts.contains(where: module.has) }

  /// Checks the tensors against the shape of the weight.
  private func layout(
    _ module: AdapterFile.Module, key: String, shape: Shape, in file: AdapterFile
  ) throws(AdapterError) -> Layout {
    let first: [String]
    let rows: Int
    let columns: Int
    var rank: Int?
    if let whole = module.parts[.firstLoKr] {
      let extents = try file.extents(whole)
      first = [whole]
      rows = extents.rows
      columns = extents.columns
    } else {
      let outer = try module.part(.firstOuterLoKr, key: key, in: file)
      let inner = try module.part(.firstInnerLoKr, key: key, in: file)
      first = [outer, inner]
      let extents = try file.extents(outer)
      rows = extents.rows
      columns = try file.extents(inner, rows: extents.columns).columns
      rank = extents.columns
    }
    guard shape.rows % rows == 0, shape.inputs % columns == 0 else {
      throw .misshapen(
        path: file.path, tensor: first[0], found: file.weights.entry(first[0])?.shape ?? [],
        expected: "[rows, columns] that divide [\(shape.rows), \(shape.inputs)]")
    }
    let part = Shape([shape.rows / rows, shape.inputs / columns] + shape.kernel)
    let second: Second
    if let whole = module.parts[.secondLoKr] {
      _ = try file.extents(whole, rows: part.rows, row: part.row)
      second = .whole(whole)
    } else {
      let outer = try module.part(.secondOuterLoKr, key: key, in: file)
      let inner = try module.part(.secondInnerLoKr, key: key, in: file)
      if let core = module.parts[.coreLoKr] {
        let between = try file.extents(outer, row: [part.rows]).rows
        try checkTucker(core, down: inner, rank: between, shape: part, in: file)
        second = .tucker(outer: outer, inner: inner, core: core)
        rank = between
      } else {
        let between = try file.extents(outer, rows: part.rows).columns
        _ = try file.extents(inner, rows: between, row: part.row)
        second = .product(outer: outer, inner: inner, rank: between)
        rank = between
      }
    }
    return Layout(
      first: first, rows: rows, columns: columns, second: second, shape: part, rank: rank)
  }

  func check(
    _ module: AdapterFile.Module, key: String, against shape: Shape, in file: AdapterFile
  ) throws(AdapterError) {
    _ = try layout(module, key: key, shape: shape, in: file)
  }

  func delta(
    _ module: AdapterFile.Module, key: String, of weight: Tensor, in file: AdapterFile
  ) throws -> [Float] {
    let layout = try layout(module, key: key, shape: weight.shape, in: file)
    let factors = try layout.first.map { try file.matrix($0) }
    let first = factors.count == 1 ? factors[0] : matmul(factors[0], factors[1])
    let second: Tensor
    switch layout.second {
    case .whole(let whole):
      second = try file.matrix(whole, rows: layout.shape.rows, row: layout.shape.row)
    case .product(let outer, let inner, let rank):
      second = matmul(
        try file.matrix(outer, rows: layout.shape.rows),
        try file.matrix(inner, rows: rank, row: layout.shape.row))
    case .tucker(let outer, let inner, let core):
      second = try tucker(
        core, up: transposed(try file.matrix(outer, row: [layout.shape.rows])),
        down: try file.matrix(inner, row: [layout.shape.inputs]), shape: layout.shape, in: file)
    }
    let factor = try file.factor(module, rank: layout.rank)
    return Self.kronecker(first, second).map { $0 * factor }
  }

  /// `first[i, j] · second[k, l]` at row `i · K + k` and column `j · L + l`, for `second` [K, L].
  private static func kronecker(_ first: Tensor, _ second: Tensor) -> [Float] {
    let length = second.shape[1]
    var values: [Float] = []
    values.reserveCapacity(first.shape.count * second.shape.count)
    for row in 0..<first.shape[0] {
      for inner in 0..<second.shape[0] {
        for column in 0..<first.shape[1] {
          let scale = first.values[row * first.shape[1] + column]
          for place in inner * length..<(inner + 1) * length {
            values.append(scale * second.values[place])
          }
        }
      }
    }
    return values
  }
}

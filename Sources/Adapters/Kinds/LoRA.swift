import Formats
import Kernels
import Tensors

/// The product `up · down` (Hu et al. 2021, arXiv 2106.09685) for matrices and convolutions. A
/// convolution's kernel is in `down` or, in LyCORIS's Tucker form, in a tensor between the two.
struct LoRA: AdapterKind {
  let name = "LoRA"
  let peftType: String? = "LORA"
  let ranked: AdapterPart? = .down

  func recognizes(_ module: AdapterFile.Module) -> Bool {
    [.down, .up, .mid, .upBias].contains(where: module.has)
  }

  func check(
    _ module: AdapterFile.Module, key: String, against shape: Shape, in file: AdapterFile
  ) throws(AdapterError) {
    let down = try module.part(.down, key: key, in: file)
    let up = try module.part(.up, key: key, in: file)
    let rank = try file.extents(up, rows: shape.rows).columns
    if let mid = module.parts[.mid] {
      try checkTucker(mid, down: down, rank: rank, shape: shape, in: file)
    } else {
      _ = try file.extents(down, rows: rank, row: shape.row)
    }
  }

  func delta(
    _ module: AdapterFile.Module, key: String, of weight: Tensor, in file: AdapterFile
  ) throws -> [Float] {
    let shape = weight.shape
    let down = try module.part(.down, key: key, in: file)
    let up = try module.part(.up, key: key, in: file)
    let wide = try file.matrix(up, rows: shape.rows)
    let rank = wide.shape[1]
    let factor = try file.factor(module, rank: rank)
    let product: Tensor
    if let mid = module.parts[.mid] {
      let narrow = try file.matrix(down, row: [shape.inputs])
      product = try tucker(mid, up: wide, down: narrow, shape: shape, in: file)
    } else {
      product = matmul(wide, try file.matrix(down, rows: rank, row: shape.row))
    }
    return product.values.map { $0 * factor }
  }
}

extension LoRA {
  /// PEFT's `lora_bias`: `up` has a bias, which has the same factor as the product.
  func bias(_ module: AdapterFile.Module) -> String? {
    module.parts[.biasDifference] ?? module.parts[.upBias]
  }

  func biasDelta(
    _ module: AdapterFile.Module, key: String, count: Int, in file: AdapterFile
  ) throws -> [Float] {
    if let whole = module.parts[.biasDifference] {
      return try file.matrix(whole, rows: count, row: []).values
    }
    let up = try module.part(.up, key: key, in: file)
    let rank = try file.extents(up, rows: count).columns
    let factor = try file.factor(module, rank: rank)
    let bias = try module.part(.upBias, key: key, in: file)
    return try file.matrix(bias, rows: count, row: []).values.map { $0 * factor }
  }
}

extension Shape {
  /// The axes of a weight after the output channels: [in] or [in, height, width].
  var row: [Int] { Array(extents.dropFirst()) }

  /// The input channels of a weight.
  var inputs: Int { row.first ?? 1 }

  /// The height and the width of a convolution's kernel; empty for a matrix.
  var kernel: [Int] { Array(extents.dropFirst(2)) }
}

/// Checks the two inner tensors of the Tucker form against the rank of the outer one.
func checkTucker(
  _ mid: String, down: String, rank: Int, shape: Shape, in file: AdapterFile
) throws(AdapterError) {
  let inner = try file.extents(down, row: [shape.inputs]).rows
  _ = try file.extents(mid, rows: rank, row: [inner] + shape.kernel)
}

/// `sum_ij up[o, i] mid[i, j, kernel] down[j, in]`, as [out, in, kernel].
///
/// - Precondition: ``checkTucker(_:down:rank:shape:in:)`` accepts the tensors.
func tucker(
  _ mid: String, up: Tensor, down: Tensor, shape: Shape, in file: AdapterFile
) throws -> Tensor {
  let (rank, inner) = (up.shape[1], down.shape[0])
  let inputs = shape.inputs
  let kernel = shape.kernel.reduce(1, *)
  let core = try file.matrix(mid, rows: rank, row: [inner] + shape.kernel)
  // [out, inner × kernel], then for each position of the kernel [out, inner] by [inner, in].
  let wide = matmul(up, core)
  var values = [Float](repeating: 0, count: shape.count)
  for place in 0..<kernel {
    var slice = [Float](repeating: 0, count: shape.rows * inner)
    for row in 0..<shape.rows {
      for index in 0..<inner {
        slice[row * inner + index] = wide.values[(row * inner + index) * kernel + place]
      }
    }
    let product = matmul(Tensor(shape: [shape.rows, inner], values: slice), down)
    for row in 0..<shape.rows {
      for input in 0..<inputs {
        values[(row * inputs + input) * kernel + place] = product.values[row * inputs + input]
      }
    }
  }
  return Tensor(shape: [shape.rows, shape.rowLength], values: values)
}

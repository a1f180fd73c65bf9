import Formats
import ModelSources
import Tensors

/// Weight decomposition (Liu et al. 2024, arXiv 2402.09353): another kind's change is added to the
/// weight, and each output channel, or each input channel, of the sum is scaled to a trained norm.
///
/// LyCORIS and OneTrainer store the norms as `dora_scale`: [out, 1] or [1, in], and for convolutions
/// [out, 1, 1, 1] or [1, in, 1, 1]. PEFT stores those of the outputs as `lora_magnitude_vector`:
/// [out] or [1, out, 1, 1]. All three divide by the norm of the sum.
struct DoRA: AdapterKind {
  let name = "DoRA"
  /// PEFT's settings state DoRA beside the method of the change.
  let peftType: String? = nil
  let scalesSum = true
  let ranked: AdapterPart? = nil

  func recognizes(_ module: AdapterFile.Module) -> Bool {
    module.has(.scaleDoRA) || module.has(.magnitudeDoRA)
  }

  /// The tensor of the norms, and whether they are those of input channels.
  private func norms(
    _ module: AdapterFile.Module, key: String, shape: Shape, in file: AdapterFile
  ) throws(AdapterError) -> (tensor: String, ofInputs: Bool) {
    if let scale = module.parts[.scaleDoRA] {
      let found = file.weights.entry(scale)?.shape ?? []
      if found.count == shape.rows, found.rank > 0, found.rows == shape.rows {
        return (scale, false)
      }
      if found.count == shape.inputs, found.rank > 1, found[1] == shape.inputs {
        return (scale, true)
      }
      throw .misshapen(
        path: file.path, tensor: scale, found: found,
        expected: "[\(shape.rows), 1] or [1, \(shape.inputs)]")
    }
    let magnitude = try module.part(.magnitudeDoRA, key: key, in: file)
    let found = file.weights.entry(magnitude)?.shape ?? []
    guard found.count == shape.rows, found.extents.contains(shape.rows) else {
      throw .misshapen(
        path: file.path, tensor: magnitude, found: found, expected: "[\(shape.rows)]")
    }
    return (magnitude, false)
  }

  func check(
    _ module: AdapterFile.Module, key: String, against shape: Shape, in file: AdapterFile
  ) throws(AdapterError) {
    if let bias = module.parts[.upBias] {
      throw .unsupported(path: file.path, kind: "DoRA that changes a bias", tensor: bias)
    }
    try AdapterKinds.change(module, key: key, in: file)
      .check(module, key: key, against: shape, in: file)
    _ = try norms(module, key: key, shape: shape, in: file)
  }

  func delta(
    _ module: AdapterFile.Module, key: String, of weight: Tensor, in file: AdapterFile
  ) throws -> [Float] {
    let shape = weight.shape
    let (name, ofInputs) = try norms(module, key: key, shape: shape, in: file)
    let norms = try file.tensor(name).values
    let change = try AdapterKinds.change(module, key: key, in: file).delta(
      module, key: key, of: weight, in: file)
    let sum = zip(weight.values, change).map { $0 + $1 }
    // The channel of an element, from its index.
    let kernel = shape.kernel.reduce(1, *)
    let length = shape.rowLength
    func channel(_ index: Int) -> Int { ofInputs ? index % length / kernel : index / length }
    var squares = [Double](repeating: 0, count: norms.count)
    for index in sum.indices { squares[channel(index)] += Double(sum[index]) * Double(sum[index]) }
    // A channel of zeros has no direction and stays zero.
    let factors = zip(norms, squares).map { norm, square in
      square > 0 ? Float(Double(norm) / square.squareRoot()) : 0
    }
    return sum.indices.map { sum[$0] * factors[channel($0)] - weight.values[$0] }
  }
}

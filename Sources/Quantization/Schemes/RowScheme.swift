internal import Kernels
internal import Support
package import Tensors

/// Int8 codes with a float32 scale for each output channel: the layout that every integer matrix
/// product and every other int8 format can take.
package struct RowScheme: Scheme {
  package let encoding = TensorEncoding.int8
  package let summary = "int8 with a scale per output channel, 1 byte a weight"

  package static let all: [any Scheme] = [RowScheme()]

  package func encode(
    _ weights: StoredTensor, method: RoundingMethod, meanSquares: [Float]?
  ) throws(SchemeError) -> EncodedTensor {
    if weights.hasNonfinite { throw .nonfinite }
    let search = ScaleSearch(
      limit: 127, groupSize: nil, halfScales: false, ratios: method.ratios)
    let result = symmetricCodes(of: weights, meanSquares: meanSquares, search: search)
    return EncodedTensor(
      tensor: StoredTensor(
        shape: weights.shape, encoding: encoding,
        parts: [ByteSlice(result.codes), ByteSlice(result.scales)]),
      figures: RoundingFigures(result, isCalibrated: meanSquares != nil))
  }
}

extension RoundingFigures {
  init(_ codes: SymmetricCodes, isCalibrated: Bool) {
    func weighted(_ sums: RoundingSums) -> Double? {
      isCalibrated ? decibels(signal: sums.weightedSignal, error: sums.weightedError) : nil
    }
    let ratios = codes.ratios
    self.init(
      sqnr: decibels(signal: codes.chosen.signal, error: codes.chosen.error),
      weightedSQNR: weighted(codes.chosen),
      plainSQNR: decibels(signal: codes.plain.signal, error: codes.plain.error),
      plainWeightedSQNR: weighted(codes.plain),
      clip: ratios.isEmpty
        ? nil
        : Clip(
          mean: ratios.reduce(0) { $0 + Double($1) } / Double(ratios.count),
          least: Double(ratios.min() ?? 1)))
  }
}

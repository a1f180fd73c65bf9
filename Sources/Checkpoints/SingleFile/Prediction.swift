import Formats
import ModelSources
import Support
internal import Tensors

extension PredictionEvidence {
  /// Numbers of the largest tensor that is read for a statistic.
  private static let longest = 1 << 20

  /// - Parameters:
  ///   - archive: a file without a scheduler config.
  ///   - markers: the names in the file of the tensors that mark a type.
  ///   - unetName: a tensor's name in the file, by its name in the LDM layout.
  init(
    _ archive: Archive, markers: [String: String], unetName: (String) -> String?
  ) throws {
    self.init()
    let weights = archive.weights
    endsInNoise = markers[SingleFileFacts.zeroTerminalMarker] != nil
    marker = markers[SingleFileFacts.velocityMarker]
    stated = archive.metadata[Self.metadataKey]?.string
    if statedPrediction != nil { return }
    step = try Self.step(archive)
    for mark in Architectures.all.compactMap(\.predictionMark) {
      guard let name = unetName(mark), let entry = weights.entry(name),
        entry.encoding.isWidenable, entry.shape.count <= Self.longest
      else { continue }
      statistics[mark] = Statistic(
        tensor: name, deviation: Self.deviation(try weights.tensor(name).floats()))
    }
  }

  /// The last training step, which old checkpoints store as a number or as a tensor.
  private static func step(_ archive: Archive) throws -> Int? {
    if let step = archive.metadata["global_step"]?.integer { return step }
    guard let entry = archive.weights.entry("global_step"), entry.shape.count == 1,
      entry.encoding.isWidenable
    else { return nil }
    return Int(exactly: try archive.weights.tensor("global_step").floats()[0])
  }

  /// The standard deviation as `torch.std` computes it, with Bessel's correction.
  private static func deviation(_ values: [Float]) -> Double {
    guard values.count > 1 else { return 0 }
    let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
    let squares = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    return (squares / Double(values.count - 1)).squareRoot()
  }
}

import Formats
internal import ModelSources
import Support
internal import Tensors

/// What a U-Net predicts, as far as a file without a scheduler config tells.
struct Prediction {
  let type: String
  let reason: String
  let isCertain: Bool
  /// Whether the schedule ends in pure noise, as models with the tensor `ztsnr` were trained.
  let endsInNoise: Bool

  /// - Parameters:
  ///   - architecture: the model's.
  ///   - unetName: a tensor's name in the file, by its name in the LDM layout.
  init(
    _ archive: Archive, architecture: Architecture, unetName: (String) -> String?
  ) throws {
    let weights = archive.weights
    endsInNoise = weights.entry(SingleFileFacts.zeroTerminalMarker) != nil
    let marker = SingleFileFacts.velocityMarker
    if weights.entry(marker) != nil {
      (type, reason, isCertain) = ("v_prediction", "the file holds the tensor '\(marker)'", true)
      return
    }
    if let told = archive.metadata["modelspec.prediction_type"]?.string {
      let isVelocity = told.hasPrefix("v")
      (type, reason, isCertain) = (
        isVelocity ? "v_prediction" : "epsilon",
        "the metadata's 'modelspec.prediction_type' is '\(shown(told))'", true
      )
      return
    }
    guard let mark = architecture.predictionMark else {
      (type, reason, isCertain) = (
        "epsilon", "as models of this kind do, which no tensor shows", true
      )
      return
    }
    if try Self.step(archive) == SingleFileFacts.epsilonStep {
      (type, reason, isCertain) = (
        "epsilon", "training ended at step \(SingleFileFacts.epsilonStep), as 2.1 base's did", true
      )
      return
    }
    if let name = unetName(mark), let entry = weights.entry(name),
      entry.encoding.isWidenable
    {
      let deviation = Self.deviation(try weights.tensor(name).floats())
      let isVelocity = deviation > SingleFileFacts.velocityDeviation
      let rounded = (deviation * 1e4).rounded() / 1e4
      (type, reason, isCertain) = (
        isVelocity ? "v_prediction" : "epsilon",
        "guessed: '\(name)' deviates by \(rounded), "
          + "\(isVelocity ? "more" : "no more") than \(SingleFileFacts.velocityDeviation)", false
      )
      return
    }
    (type, reason, isCertain) = (
      "epsilon", "nothing in the file tells, and Stable Diffusion 2 comes in both kinds", false
    )
  }

  /// The last training step, which old checkpoints hold as a number or as a tensor.
  private static func step(_ archive: Archive) throws -> Int? {
    if let step = archive.metadata["global_step"]?.integer { return step }
    guard let entry = archive.weights.entry("global_step"), entry.shape.count == 1,
      entry.encoding.isWidenable
    else { return nil }
    return Int(exactly: try archive.weights.tensor("global_step").floats()[0])
  }

  private static func deviation(_ values: [Float]) -> Double {
    guard values.count > 1 else { return 0 }
    let mean = values.reduce(0) { $0 + Double($1) } / Double(values.count)
    let squares = values.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
    // As torch.std, which divides by one less.
    return (squares / Double(values.count - 1)).squareRoot()
  }

  /// For a model's provenance.
  var json: JSONValue {
    ["type": .string(type), "reason": .string(reason), "certain": .bool(isCertain)]
  }
}

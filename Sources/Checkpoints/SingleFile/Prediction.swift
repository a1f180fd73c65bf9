import Formats
internal import ModelSources
import Support
internal import Tensors

/// The prediction type of a single file without a scheduler config, and the reason for it.
struct Prediction {
  let type: PredictionType
  /// A clause that says from what the type was found.
  let reason: String
  let isCertain: Bool
  /// Whether the noise schedule ends in pure noise (zero terminal SNR), as the tensor `ztsnr`
  /// marks.
  let endsInNoise: Bool

  /// - Parameters:
  ///   - architecture: the model's architecture.
  ///   - markers: the names in the file of the tensors that mark a type.
  ///   - unetName: a tensor's name in the file, by its name in the LDM layout.
  init(
    _ archive: Archive, architecture: Architecture, markers: [String: String],
    unetName: (String) -> String?
  ) throws {
    let weights = archive.weights
    endsInNoise = markers[SingleFileFacts.zeroTerminalMarker] != nil
    if let marker = markers[SingleFileFacts.velocityMarker] {
      (type, reason, isCertain) = (.velocity, "the file has the tensor '\(marker)'", true)
      return
    }
    if let stated = archive.metadata["modelspec.prediction_type"]?.string {
      let isVelocity = stated.hasPrefix("v")
      (type, reason, isCertain) = (
        isVelocity ? .velocity : .epsilon,
        "the metadata's 'modelspec.prediction_type' is '\(shown(stated))'", true
      )
      return
    }
    guard let mark = architecture.predictionMark else {
      (type, reason, isCertain) = (
        .epsilon, "the default of the architecture; tensors do not show it", true
      )
      return
    }
    if try Self.step(archive) == SingleFileFacts.epsilonStep {
      (type, reason, isCertain) = (
        .epsilon, "training ended at step \(SingleFileFacts.epsilonStep), as of 2.1 base", true
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
        isVelocity ? .velocity : .epsilon,
        "guessed: the standard deviation of '\(name)' is \(rounded), "
          + "\(isVelocity ? "above" : "at most") \(SingleFileFacts.velocityDeviation)", false
      )
      return
    }
    (type, reason, isCertain) = (
      .epsilon, "guessed: the file does not show it, and Stable Diffusion 2 has both types", false
    )
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

  /// The value in a model's provenance.
  var json: JSONValue {
    ["type": type.json, "reason": .string(reason), "certain": .bool(isCertain)]
  }
}

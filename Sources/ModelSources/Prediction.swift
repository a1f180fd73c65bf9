private import Formats
package import Support

/// What a U-Net predicts, and how that was found.
package struct Prediction: Sendable, Equatable {
  package let type: PredictionType
  /// A clause that says from what the type was found.
  package let reason: String
  /// Whether a file or the user states the type, or all published models of the architecture have
  /// it. Other types are guesses.
  package let isCertain: Bool

  package init(_ type: PredictionType, reason: String, isCertain: Bool) {
    self.type = type
    self.reason = reason
    self.isCertain = isCertain
  }

  /// The member of ``ModelSource/provenance`` that holds the value.
  package static let fact = "prediction"

  /// The value in a model's provenance.
  package var json: JSONValue {
    ["type": type.json, "reason": .string(reason), "certain": .bool(isCertain)]
  }

  /// Reads the value in a model's provenance; `nil` for another value.
  package init?(json: JSONValue?) {
    guard let json = json?.object, let type = json["type"]?.string.flatMap(PredictionType.init)
    else { return nil }
    self.init(
      type, reason: json["reason"]?.string ?? "", isCertain: json["certain"]?.bool ?? false)
  }
}

extension ModelSource {
  /// How the prediction type of the scheduler's config was found; `nil` where the config states it
  /// and nothing more is known, also after the config was edited.
  package var prediction: Prediction? {
    let noted = Prediction(json: provenance[Prediction.fact])
    let isCurrent = scheduler == nil || noted?.type == PredictionType(scheduler: scheduler)
    return isCurrent ? noted : nil
  }
}

/// What a file of weights without a scheduler config shows of the prediction type of its U-Net. What
/// that means depends on the architecture, which a part of a model does not always show.
package struct PredictionEvidence: Sendable, Equatable {
  /// The standard deviation of the numbers in a tensor.
  package struct Statistic: Sendable, Equatable {
    /// The tensor's name in the file.
    package let tensor: String
    package let deviation: Double

    package init(tensor: String, deviation: Double) {
      self.tensor = tensor
      self.deviation = deviation
    }
  }

  /// The key of a single file's metadata that states the prediction type (Stability's ModelSpec).
  package static let metadataKey = "modelspec.prediction_type"

  /// The type that the user chose, which overrides everything else.
  package var chosen: PredictionType?
  /// The name of a tensor that marks velocity prediction.
  package var marker: String?
  /// The metadata's ``metadataKey``.
  package var stated: String?
  /// The last training step.
  package var step: Int?
  /// Statistics of the tensors that ``Architecture/predictionMark`` names, by that name.
  package var statistics: [String: Statistic] = [:]
  /// Whether the noise schedule ends in pure noise (zero terminal SNR), as a tensor marks.
  package var endsInNoise = false

  package init() {}

  /// The type that was chosen or that the file states; `nil` where neither is so.
  package var statedPrediction: Prediction? {
    if let chosen { return Prediction(chosen, reason: "chosen by the user", isCertain: true) }
    if let marker {
      return Prediction(
        .velocity, reason: "the file has the tensor '\(shown(marker))'", isCertain: true)
    }
    guard let stated, let type = Self.types[stated.lowercased()] else { return nil }
    return Prediction(
      type, reason: "the metadata's '\(Self.metadataKey)' is '\(shown(stated))'",
      isCertain: true)
  }

  /// The types by the values of ``metadataKey`` in lower case. ModelSpec has `epsilon` and `v`; other
  /// programs write the others.
  private static let types: [String: PredictionType] = [
    "epsilon": .epsilon, "eps": .epsilon,
    "v": .velocity, "v_prediction": .velocity, "v-prediction": .velocity, "vprediction": .velocity,
    "v_pred": .velocity, "v-pred": .velocity, "vpred": .velocity, "velocity": .velocity,
    "sample": .sample,
  ]

  /// The metadata's value of ``metadataKey`` that stands for no known type; `nil` without one.
  package var unknownStatement: String? {
    guard statedPrediction == nil, let stated, !stated.isEmpty else { return nil }
    return stated
  }

  /// Whether the file shows the type of a U-Net of that architecture, if only by a statistic.
  package func shows(for architecture: Architecture) -> Bool {
    if statedPrediction != nil { return true }
    guard let mark = architecture.predictionMark else { return false }
    return step == SingleFileFacts.epsilonStep || statistics[mark] != nil
  }

  /// The prediction type of a U-Net of that architecture.
  package func prediction(for architecture: Architecture) -> Prediction {
    if let statedPrediction { return statedPrediction }
    let found = unstatedPrediction(for: architecture)
    guard let unknownStatement else { return found }
    return Prediction(
      found.type,
      reason: "guessed: the metadata's '\(Self.metadataKey)' has the unknown value "
        + "'\(shown(unknownStatement))'", isCertain: false)
  }

  /// The prediction type that follows from the architecture, the step and the statistics.
  private func unstatedPrediction(for architecture: Architecture) -> Prediction {
    guard let mark = architecture.predictionMark else { return .standard }
    if step == SingleFileFacts.epsilonStep {
      return Prediction(
        .epsilon, reason: "training ended at step \(SingleFileFacts.epsilonStep), as of 2.1 base",
        isCertain: true)
    }
    if let found = statistics[mark] {
      let isVelocity = found.deviation > SingleFileFacts.velocityDeviation
      let rounded = (found.deviation * 1e4).rounded() / 1e4
      return Prediction(
        isVelocity ? .velocity : .epsilon,
        reason: "guessed: the standard deviation of '\(shown(found.tensor))' is \(rounded), "
          + "\(isVelocity ? "above" : "at most") \(SingleFileFacts.velocityDeviation)",
        isCertain: false)
    }
    return Prediction(
      .epsilon,
      reason: "guessed: the file does not show it, and Stable Diffusion 2 has both types",
      isCertain: false)
  }
}

extension PredictionEvidence {
  /// The members in the metadata of files that Decant writes.
  package var json: JSONObject {
    var object: JSONObject = [:]
    if let chosen { object["chosen"] = chosen.json }
    if let marker { object["marker"] = .string(marker) }
    if let stated { object["stated"] = .string(stated) }
    if let step { object["step"] = .integer(step) }
    if !statistics.isEmpty {
      object["statistics"] = .object(
        JSONObject(
          statistics.sorted { $0.key < $1.key }.map { name, value in
            (name, ["tensor": .string(value.tensor), "deviation": .number(value.deviation)])
          }))
    }
    if endsInNoise { object["ends_in_noise"] = true }
    return object
  }

  /// Reads ``json``. Members of other kinds count as absent.
  package init(json: JSONObject) {
    self.init()
    chosen = json["chosen"]?.string.flatMap(PredictionType.init)
    marker = json["marker"]?.string
    stated = json["stated"]?.string
    step = json["step"]?.integer
    for (name, value) in json["statistics"]?.object?.members ?? [] {
      guard let tensor = value.object?["tensor"]?.string,
        let deviation = value.object?["deviation"]?.number, deviation.isFinite
      else { continue }
      statistics[name] = Statistic(tensor: tensor, deviation: deviation)
    }
    endsInNoise = json["ends_in_noise"]?.bool ?? false
  }
}

extension Prediction {
  /// The type of architectures whose published models all predict the same.
  static let standard = Prediction(
    .standard, reason: "the default of the architecture; tensors do not show it", isCertain: true)

  /// The prediction type of a U-Net with a config and without a scheduler config, as the `unet` folder
  /// of a diffusers folder is.
  ///
  /// - Parameter unet: the U-Net's config.
  static func assumed(for architecture: Architecture, unet: JSONObject) -> Prediction {
    guard architecture.predictionMark != nil else { return .standard }
    let size = unet["sample_size"]?.integer
    let isVelocity =
      size == architecture.sampleSize(.velocity) && size != architecture.sampleSize(.epsilon)
    return Prediction(
      isVelocity ? .velocity : .epsilon,
      reason: "guessed: there is no scheduler config, and the U-Net's config states "
        + (size.map { "images of \($0) latent pixels a side" } ?? "no size of images"),
      isCertain: false)
  }
}

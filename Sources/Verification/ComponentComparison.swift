import Execution
import Kernels
import ModelSources
import Models
import Sampling
import Support
import Tensors

extension Verifier {
  func compareTensors(
    _ candidate: Model, _ reference: Model, _ renames: BlockRenames
  ) throws -> (results: [VerificationReport.TensorResult], absent: Int) {
    var results: [VerificationReport.TensorResult] = []
    var absent = 0
    for expected in reference.components {
      guard let found = candidate[expected.name] else {
        absent += expected.modules.tensors.count
        continue
      }
      let shapes = Dictionary(
        uniqueKeysWithValues: expected.modules.tensors.map { ($0.name, $0.shape) })
      let before = results.count
      for tensor in found.modules.tensors {
        try Cancellation.check()
        let original =
          expected.name == ComponentName.unet ? renames.original(of: tensor.name) : tensor.name
        guard shapes[original] == tensor.shape else { continue }
        let (a, b) = (
          try expected.weights.tensor(original), try found.weights.tensor(tensor.name)
        )
        let measures = ErrorMeasures(reference: a, candidate: b)
        results.append(
          VerificationReport.TensorResult(
            component: expected.name, name: tensor.name, reference: original,
            shape: tensor.shape, before: a.encoding, after: b.encoding, sqnr: measures.sqnr,
            relativeError: measures.relativeRMS, cosine: measures.cosine,
            largestDifference: measures.largestDifference))
      }
      absent += shapes.count - (results.count - before)
    }
    return (results, absent)
  }

  /// Relative errors of the text encoders' blocks, for each text.
  func compareTexts(
    _ sampler: Sampler, _ reference: Sampler, _ settings: VerificationSettings
  ) throws -> [[String: Double]] {
    try texts(settings).map { text in
      let expected = RecordingTap()
      _ = try reference.embed(text, observer: expected)
      let tap = ComparingTap(expected, renames: BlockRenames())
      _ = try sampler.embed(text, observer: tap)
      return tap.errors
    }
  }

  private func texts(_ settings: VerificationSettings) -> [String] {
    settings.prompts.map(\.prompt) + (settings.guidanceScale > 1 ? settings.negativePrompts : [])
  }

  /// Relative error of the decoded latents of a trajectory. Equal decoders are not run.
  func decoderError(
    of sampler: Sampler, _ subject: Subject, reference: Subject, for trajectory: Trajectory
  ) throws -> Double {
    if subject.arithmetic == reference.arithmetic,
      try subject.model.hasEqualWeights(ComponentName.vae, as: reference.model)
    {
      return 0
    }
    return relativeError(
      of: try sampler.decodedTensor(trajectory.latents), from: trajectory.decoded)
  }

  /// All blocks by component and name, in the order of execution.
  func blockOrder(
    _ sampler: Sampler, _ unet: [String], hasImages: Bool
  ) throws -> [(component: String, name: String)] {
    let text = RecordingTap()
    _ = try sampler.embed(settings.prompts.first?.prompt ?? "", observer: text)
    // With more than one encoder, block names begin with the component's name.
    let encoders = sampler.model.components.map(\.name).filter(
      ComponentName.textEncoders.contains)
    let texts = text.names.map { name in
      for encoder in encoders where name.hasPrefix(encoder + ".") {
        return (component: encoder, name: String(name.dropFirst(encoder.count + 1)))
      }
      return (component: encoders.first ?? ComponentName.textEncoder, name: name)
    }
    return texts + unet.map { (ComponentName.unet, $0) }
      + (hasImages ? [(ComponentName.vae, "decoder")] : [])
  }
}

extension Model {
  /// Whether a component has the same weights in another model, however they are stored.
  fileprivate func hasEqualWeights(_ component: String, as other: Model) throws -> Bool {
    guard let (ours, theirs) = self[component].flatMap({ a in other[component].map { (a, $0) } }),
      ours.modules.tensors.map(\.name) == theirs.modules.tensors.map(\.name)
    else { return false }
    for tensor in ours.modules.tensors {
      try Cancellation.check()
      let (a, b) = (try ours.weights.tensor(tensor.name), try theirs.weights.tensor(tensor.name))
      if a.shape != b.shape || ErrorMeasures(reference: a, candidate: b).error != 0 { return false }
    }
    return true
  }
}

/// The measurements of one model.
struct Measures {
  let evaluation: CallEvaluation
  /// One for each trajectory; none for a baseline.
  let deviations: [Deviation]
  /// Relative error of the decoded latents of the first trajectory; `nil` without images.
  let decoder: Double?
  /// Relative errors of the text encoders' blocks, for each text.
  let texts: [[String: Double]]

  func errors(_ component: String, _ block: String) -> [Double] {
    switch component {
    case ComponentName.unet: evaluation.blocks.compactMap { $0[block] }
    case ComponentName.vae: [decoder].compactMap { $0 }
    default: texts.compactMap { $0["\(component).\(block)"] ?? $0[block] }
    }
  }
}

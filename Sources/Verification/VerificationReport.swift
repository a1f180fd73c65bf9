package import Sampling
package import Support
package import Tensors

/// The results of a verification: ``json`` and ``ReportPage`` present them.
///
/// The candidate and each baseline are measured against the reference. Arrays named `results` have
/// one entry per model of ``compared``, the candidate first.
package struct VerificationReport: Sendable {
  /// A model and its size.
  package struct Subject: Sendable, Equatable {
    package struct Component: Sendable, Equatable {
      package let name: String
      package let parameters: Int
      package let bytes: Int
      /// Bytes per encoding, in descending order.
      package let encodings: [(name: String, bytes: Int)]

      package static func == (a: Component, b: Component) -> Bool {
        a.name == b.name && a.parameters == b.parameters && a.bytes == b.bytes
          && a.encodings.elementsEqual(b.encodings, by: ==)
      }
    }

    package let name: String
    /// `reference`, `candidate` or `baseline`.
    package let role: String
    package let layout: String
    package let components: [Component]
    /// Size of the model's files in bytes; `nil` if it is not stored in files.
    package let fileBytes: Int?

    package var parameters: Int { components.reduce(0) { $0 + $1.parameters } }
    package var bytes: Int { components.reduce(0) { $0 + $1.bytes } }
  }

  /// Mean and worst value of repeated measurements.
  package struct Spread: Sendable, Equatable {
    package let mean: Double
    package let worst: Double

    /// `nil` if there are no values. NaN counts as the worst value.
    package init?(_ values: [Double]) {
      guard !values.isEmpty else { return nil }
      mean = values.reduce(0, +) / Double(values.count)
      worst = values.largest
    }
  }

  /// A tensor that both candidate and reference have.
  package struct TensorResult: Sendable, Equatable {
    package let component: String
    package let name: String
    /// The name in the reference, which differs if blocks were renumbered.
    package let reference: String
    package let shape: Shape
    package let before: TensorEncoding
    package let after: TensorEncoding
    /// In decibels; infinite if nothing differs.
    package let sqnr: Double
    package let relativeError: Double
    package let cosine: Double
    package let largestDifference: Double
  }

  /// Errors of one block's output when every model gets the reference's inputs.
  package struct BlockResult: Sendable, Equatable {
    package let component: String
    /// The reference's name.
    package let name: String
    /// Relative errors; `nil` for a model without the block.
    package let results: [Spread?]
  }

  /// Errors at one step of the scheduler.
  package struct StepResult: Sendable, Equatable {
    package let timestep: Double
    /// Relative errors of the latents after the step, each model on its own trajectory.
    package let latents: [Spread]
    /// Relative errors of the guided noise prediction on the reference's trajectory.
    package let predictions: [Spread]
  }

  /// The images of one prompt and seed.
  package struct ImageResult: Sendable {
    package struct Result: Sendable {
      package let image: Image
      package let comparison: ImageComparison
      /// Relative error of the latents after the last step.
      package let latentError: Double
    }

    package let prompt: String
    /// Empty if the prompt has none.
    package let negativePrompt: String
    package let seed: UInt64
    package let reference: Image
    package let results: [Result]
  }

  /// The values that thresholds apply to.
  package struct Summary: Sendable, Equatable {
    package let leastPSNR: Double
    /// Mean over images that are not identical; infinite if all are.
    package let meanPSNR: Double
    package let leastSSIM: Double?
    package let meanSSIM: Double?
    package let largestDifference: Double
    package let leastShareWithinOneLevel: Double
    package let worstLatentError: Double
    package let worstPredictionError: Double
    package let meanPredictionError: Double
  }

  package let tool: String
  package let machine: String
  package let settings: VerificationSettings
  package let reference: Subject
  /// The candidate, then the baselines.
  package let compared: [Subject]
  package let tensors: [TensorResult]
  /// Number of tensors of the reference that the candidate lacks.
  package let absentTensors: Int
  package let blocks: [BlockResult]
  package let steps: [StepResult]
  package let images: [ImageResult]
  package let checks: [VerificationThresholds.Check]
  /// Remarks that readers need to interpret the results.
  package let notes: [String]
  /// How the candidate was made.
  package let provenance: JSONObject

  /// Whether every threshold is met; true without thresholds.
  package var isMet: Bool { checks.allSatisfy(\.isMet) }

  /// The summary of a model of ``compared``.
  package func summary(of index: Int) -> Summary {
    Self.summary(of: index, images: images, steps: steps)
  }

  static func summary(
    of index: Int, images: [ImageResult], steps: [StepResult]
  ) -> Summary {
    let results = images.map { $0.results[index] }
    let psnr = results.map(\.comparison.psnr)
    let finitePSNR = psnr.filter { $0 != .infinity }
    let ssim = results.compactMap(\.comparison.ssim)
    let isMeasured = !ssim.isEmpty && ssim.count == results.count
    return Summary(
      leastPSNR: psnr.smallest,
      meanPSNR: finitePSNR.isEmpty
        ? .infinity : finitePSNR.reduce(0, +) / Double(finitePSNR.count),
      leastSSIM: isMeasured ? ssim.smallest : nil,
      meanSSIM: isMeasured ? ssim.reduce(0, +) / Double(ssim.count) : nil,
      largestDifference: results.map(\.comparison.largestDifference).largest,
      leastShareWithinOneLevel: results.map(\.comparison.shareWithinOneLevel).smallest,
      worstLatentError: results.map(\.latentError).largest,
      worstPredictionError: steps.map { $0.predictions[index].worst }.largest,
      meanPredictionError: steps.reduce(0) { $0 + $1.predictions[index].mean }
        / Double(max(1, steps.count)))
  }
}

extension [Double] {
  /// The largest value, or NaN if any value is NaN.
  var largest: Double { reduce(-.infinity) { $0.isNaN || $1.isNaN ? .nan : Swift.max($0, $1) } }

  /// The smallest value, or NaN if any value is NaN.
  var smallest: Double { reduce(.infinity) { $0.isNaN || $1.isNaN ? .nan : Swift.min($0, $1) } }
}

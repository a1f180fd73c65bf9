package import Sampling
package import Support
package import Tensors

/// What a verification found, as values; ``json`` and ``ReportPage`` are two ways to read it.
///
/// Everything is measured against the reference, for the candidate and for each baseline: the
/// arrays called `results` have one entry for each of ``compared``, the candidate first.
package struct VerificationReport: Sendable {
  /// A model's size.
  package struct Subject: Sendable, Equatable {
    package struct Component: Sendable, Equatable {
      package let name: String
      package let parameters: Int
      package let bytes: Int
      /// Bytes by encoding, the largest first.
      package let encodings: [(name: String, bytes: Int)]

      package static func == (a: Component, b: Component) -> Bool {
        a.name == b.name && a.parameters == b.parameters && a.bytes == b.bytes
          && a.encodings.elementsEqual(b.encodings, by: ==)
      }
    }

    package let name: String
    /// `reference`, `candidate`, `baseline`.
    package let role: String
    package let layout: String
    package let components: [Component]
    /// Bytes of the file or files; `nil` where the model is in no file.
    package let fileBytes: Int?

    package var parameters: Int { components.reduce(0) { $0 + $1.parameters } }
    package var bytes: Int { components.reduce(0) { $0 + $1.bytes } }
  }

  /// Mean and worst of several measurements of one thing.
  package struct Spread: Sendable, Equatable {
    package let mean: Double
    package let worst: Double

    /// `nil` where there is nothing to measure. A number that is none is the worst.
    package init?(_ values: [Double]) {
      guard !values.isEmpty else { return nil }
      mean = values.reduce(0, +) / Double(values.count)
      worst = values.largest
    }
  }

  /// A tensor that the candidate and the reference both have.
  package struct TensorResult: Sendable, Equatable {
    package let component: String
    package let name: String
    /// The reference's name for it; another one where blocks were renumbered.
    package let reference: String
    package let shape: Shape
    package let before: TensorEncoding
    package let after: TensorEncoding
    /// In decibels; infinite where nothing differs.
    package let sqnr: Double
    package let relativeError: Double
    package let cosine: Double
    package let largestDifference: Double
  }

  /// A part of the model by what it gives when all models are fed what the reference was fed.
  package struct BlockResult: Sendable, Equatable {
    package let component: String
    /// The reference's name.
    package let name: String
    /// Relative errors; `nil` for a model that has no such block.
    package let results: [Spread?]
  }

  /// One call of the sampler's step.
  package struct StepResult: Sendable, Equatable {
    package let timestep: Double
    /// Relative errors of the latents after the step, each model on its own trajectory.
    package let latents: [Spread]
    /// Relative errors of the noise prediction, guidance applied, on the reference's trajectory.
    package let predictions: [Spread]
  }

  package struct ImageResult: Sendable {
    package struct Result: Sendable {
      package let picture: Image
      package let comparison: ImageComparison
      /// Relative error of the latents after the last step.
      package let latentError: Double
    }

    package let prompt: String
    /// Empty for none.
    package let negativePrompt: String
    package let seed: UInt64
    package let reference: Image
    package let results: [Result]
  }

  /// The figures that thresholds look at.
  package struct Summary: Sendable, Equatable {
    package let leastPSNR: Double
    /// Over pictures that are not identical; infinite where all are.
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
  /// Tensors of the reference that the candidate has not.
  package let absentTensors: Int
  package let blocks: [BlockResult]
  package let steps: [StepResult]
  package let pictures: [ImageResult]
  package let checks: [VerificationThresholds.Check]
  /// What a reader should know before trusting the figures, in sentences.
  package let notes: [String]
  /// What is known of how the candidate was made.
  package let provenance: JSONObject

  /// Whether every threshold is met; true where none is asked for.
  package var isMet: Bool { checks.allSatisfy(\.isMet) }

  /// The figures of one of ``compared``.
  package func summary(of index: Int) -> Summary {
    Self.summary(of: index, pictures: pictures, steps: steps)
  }

  static func summary(
    of index: Int, pictures: [ImageResult], steps: [StepResult]
  ) -> Summary {
    let results = pictures.map { $0.results[index] }
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
  /// The largest number, or NaN where one is there: a comparison must not hide it.
  var largest: Double { reduce(-.infinity) { $0.isNaN || $1.isNaN ? .nan : Swift.max($0, $1) } }

  /// The smallest number, or NaN where one is there.
  var smallest: Double { reduce(.infinity) { $0.isNaN || $1.isNaN ? .nan : Swift.min($0, $1) } }
}

package import Calibration
package import Sampling
package import Support
package import Tensors

/// The results of a verification: ``json`` and ``ReportPage`` present them.
///
/// The candidate and each baseline are measured against the reference. Arrays of results have one
/// entry per model of ``compared``, the candidate first.
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
      mean = values.mean
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

    package init(
      component: String, name: String, reference: String, shape: Shape, before: TensorEncoding,
      after: TensorEncoding, sqnr: Double, relativeError: Double, cosine: Double,
      largestDifference: Double
    ) {
      self.component = component
      self.name = name
      self.reference = reference
      self.shape = shape
      self.before = before
      self.after = after
      self.sqnr = sqnr
      self.relativeError = relativeError
      self.cosine = cosine
      self.largestDifference = largestDifference
    }
  }

  /// Errors of one block's output when every model gets the reference's inputs.
  package struct BlockResult: Sendable, Equatable {
    package let component: String
    /// The reference's name.
    package let name: String
    /// Relative errors; `nil` for a model without the block.
    package let results: [Spread?]
  }

  /// The calls that every model evaluated.
  package struct Calls: Sendable, Equatable {
    package let settings: CalibrationSettings
    package let count: Int
    /// Whether they are those of a calibration and not of this verification.
    package let isOfCalibration: Bool
  }

  /// Errors at one step of the scheduler.
  package struct StepResult: Sendable, Equatable {
    /// Index into the scheduler's timesteps.
    package let step: Int
    package let timestep: Double
    /// Relative errors of the latents after the step, in the model's own runs; `nil` without them.
    package let latents: [Spread?]
    /// Errors of the predictions for the reference's inputs; `nil` where no call is recorded.
    package let errors: [CallErrors.Step?]
  }

  /// The images of one prompt and seed.
  package struct ImageResult: Sendable {
    package struct Result: Sendable {
      package let image: Image
      package let comparison: ImageComparison
      /// Relative error of the latents after the last step.
      package let latentError: Double
      /// Cosine of these latents: 1 for equal directions.
      package let latentCosine: Double
    }

    package let prompt: String
    /// Empty if the prompt has none.
    package let negativePrompt: String
    package let seed: UInt64
    package let reference: Image
    /// `nil` for baselines, which make no images.
    package let results: [Result?]
  }

  /// The values that thresholds apply to. Those of images are `nil` for a model that made none.
  package struct Summary: Sendable, Equatable {
    package let leastPSNR: Double?
    /// Mean over images that are not identical; infinite if all are.
    package let meanPSNR: Double?
    package let leastSSIM: Double?
    package let meanSSIM: Double?
    package let largestDifference: Double?
    package let leastShareWithinOneLevel: Double?
    package let worstLatentError: Double?
    /// Cosine of the final latents.
    package let leastLatentCosine: Double?
    package let meanLatentCosine: Double?
    /// The largest relative error of the guided prediction of a call.
    package let worstPredictionError: Double
    /// Mean over calls and steps.
    package let meanPredictionError: Double
  }

  package let tool: String
  package let machine: String
  /// The command line that repeats the verification.
  package let command: String?
  package let settings: VerificationSettings
  package let calls: Calls
  package let reference: Subject
  /// The candidate, then the baselines.
  package let compared: [Subject]
  /// Errors of the predictions for the reference's inputs.
  package let errors: [CallErrors]
  package let verdict: Verdict
  package let tensors: [TensorResult]
  /// Number of tensors of the reference that the candidate lacks.
  package let absentTensors: Int
  package let blocks: [BlockResult]
  package let steps: [StepResult]
  package let images: [ImageResult]
  package let checks: [VerificationThresholds.Check]
  /// The sensitivities of the reference's layers, where they were measured.
  package let sensitivities: Sensitivities?
  /// Remarks that readers need to interpret the results.
  package let notes: [String]
  /// How the candidate was made.
  package let provenance: JSONObject

  /// Whether every threshold is met; `nil` without thresholds.
  package var isMet: Bool? { checks.isEmpty ? nil : checks.allSatisfy(\.isMet) }

  /// The summary of a model of ``compared``.
  package func summary(of index: Int) -> Summary {
    Self.summary(of: index, images: images, errors: errors)
  }

  static func summary(
    of index: Int, images: [ImageResult], errors: [CallErrors]
  ) -> Summary {
    let results = images.compactMap { $0.results[index] }
    /// `nil` without images.
    func over(
      _ values: [Double], _ reduced: ([Double]) -> Double
    ) -> Double? { values.isEmpty ? nil : reduced(values) }
    let psnr = results.map(\.comparison.psnr)
    let ssim = results.compactMap(\.comparison.ssim)
    let measured = ssim.count == results.count ? ssim : []
    let cosines = results.map(\.latentCosine)
    return Summary(
      leastPSNR: over(psnr, \.smallest),
      meanPSNR: over(psnr) { over($0.filter { $0 != .infinity }, \.mean) ?? .infinity },
      leastSSIM: over(measured, \.smallest), meanSSIM: over(measured, \.mean),
      largestDifference: over(results.map(\.comparison.largestDifference), \.largest),
      leastShareWithinOneLevel: over(
        results.map(\.comparison.shareWithinOneLevel), \.smallest),
      worstLatentError: over(results.map(\.latentError), \.largest),
      leastLatentCosine: over(cosines, \.smallest), meanLatentCosine: over(cosines, \.mean),
      worstPredictionError: errors[index].steps.map(\.guided.worst).largest,
      meanPredictionError: errors[index].steps.map(\.guided.mean).mean)
  }
}

extension [Double] {
  /// - Precondition: not empty.
  var mean: Double { reduce(0, +) / Double(count) }

  /// The largest value, or NaN if any value is NaN.
  var largest: Double { reduce(-.infinity) { $0.isNaN || $1.isNaN ? .nan : Swift.max($0, $1) } }

  /// The smallest value, or NaN if any value is NaN.
  var smallest: Double { reduce(.infinity) { $0.isNaN || $1.isNaN ? .nan : Swift.min($0, $1) } }
}

package import Support

/// Thresholds that a candidate must meet; `nil` sets none.
package struct VerificationThresholds: Sendable, Equatable {
  /// Lowest PSNR of any image, in decibels.
  package var minimumPSNR: Double?
  /// Lowest SSIM of any image.
  package var minimumSSIM: Double?
  /// Largest relative error of any image's latents after the last step, each model on its own
  /// trajectory.
  package var maximumLatentError: Double?
  /// Largest relative error of any noise prediction on the reference's trajectory.
  package var maximumStepError: Double?

  package init(
    minimumPSNR: Double? = nil, minimumSSIM: Double? = nil, maximumLatentError: Double? = nil,
    maximumStepError: Double? = nil
  ) {
    self.minimumPSNR = minimumPSNR
    self.minimumSSIM = minimumSSIM
    self.maximumLatentError = maximumLatentError
    self.maximumStepError = maximumStepError
  }

  /// A threshold and the measured value.
  package struct Check: Sendable, Equatable {
    package enum Side: Sendable { case least, most }

    /// The name in options and in `report.json`: `min-psnr`.
    package let name: String
    /// What is measured, in words.
    package let title: String
    package let side: Side
    /// The threshold: `limit` in `report.json`.
    package let limit: Double
    /// `nil` if it cannot be measured, which does not meet the threshold.
    package let measured: Double?
    package let unit: String

    package init(
      name: String, title: String, side: Side, limit: Double, measured: Double?, unit: String
    ) {
      self.name = name
      self.title = title
      self.side = side
      self.limit = limit
      self.measured = measured
      self.unit = unit
    }

    /// Whether the threshold is met. NaN does not meet one.
    package var isMet: Bool {
      guard let measured else { return false }
      return side == .least ? measured >= limit : measured <= limit
    }

    package var json: JSONValue {
      [
        "name": .string(name), "limit": .number(limit), "measured": finite(measured),
        "met": .bool(isMet),
      ]
    }
  }

  /// Checks each threshold against the worst value of `summary`.
  func checks(_ summary: VerificationReport.Summary) -> [Check] {
    let all: [(String, String, Check.Side, Double?, Double?, String)] = [
      ("min-psnr", "least PSNR of an image", .least, minimumPSNR, summary.leastPSNR, " dB"),
      ("min-ssim", "least SSIM of an image", .least, minimumSSIM, summary.leastSSIM, ""),
      (
        "max-latent-error", "largest error of final latents", .most, maximumLatentError,
        summary.worstLatentError, ""
      ),
      (
        "max-step-error", "largest error of a noise prediction", .most, maximumStepError,
        summary.worstPredictionError, ""
      ),
    ]
    return all.compactMap { name, title, side, limit, measured, unit in
      limit.map {
        Check(name: name, title: title, side: side, limit: $0, measured: measured, unit: unit)
      }
    }
  }
}

package import Support

/// What a candidate must meet; a limit that is `nil` is not asked for.
package struct VerificationThresholds: Sendable, Equatable {
  /// Least PSNR of any picture, in decibels.
  package var minimumPSNR: Double?
  /// Least SSIM of any picture.
  package var minimumSSIM: Double?
  /// Largest relative error of the latents of any picture after the last step, each model on its
  /// own trajectory.
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

  /// A threshold with what was measured.
  package struct Check: Sendable, Equatable {
    package enum Side: Sendable { case least, most }

    /// The name of the option without dashes in front: `min-psnr`.
    package let name: String
    /// What it means, in words.
    package let title: String
    package let side: Side
    package let limit: Double
    /// `nil` where it cannot be measured, which meets no limit.
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

    /// Whether the limit is met. A number that is none meets no limit.
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

  /// Each limit that is asked for, beside the worst that `summary` has.
  func checks(_ summary: VerificationReport.Summary) -> [Check] {
    let all: [(String, String, Check.Side, Double?, Double?, String)] = [
      ("min-psnr", "least PSNR of a picture", .least, minimumPSNR, summary.leastPSNR, " dB"),
      ("min-ssim", "least SSIM of a picture", .least, minimumSSIM, summary.leastSSIM, ""),
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

package import Support

/// What a U-Net predicts: `prediction_type` in diffusers' scheduler configs.
package enum PredictionType: String, CaseIterable, Sendable {
  /// The noise.
  case epsilon
  /// The original sample, without noise.
  case sample
  /// The velocity: Salimans and Ho, arXiv 2202.00512.
  case velocity = "v_prediction"

  /// The member of a scheduler config that states the type.
  package static let key = "prediction_type"
  /// The type where a config states none, as in diffusers.
  package static let standard = PredictionType.epsilon

  /// The type that a scheduler config states; ``standard`` where it states none or an unknown one.
  package init(scheduler: JSONObject?) {
    self = scheduler?[Self.key]?.string.flatMap(Self.init) ?? .standard
  }

  package var json: JSONValue { .string(rawValue) }
}

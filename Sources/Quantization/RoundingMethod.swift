/// How the scale of integer codes is found.
package enum RoundingMethod: String, CaseIterable, Sendable {
  /// The scale that takes the largest magnitude to the largest code.
  case round
  /// The scale, from 1 down to 0.6 of the plain one in steps of 0.01, with the least squared
  /// error, weighted with the calibrated meanSquares of the inputs where there are any.
  case mse

  package var summary: String {
    switch self {
    case .round: "the largest weight of a row or group gets the largest code"
    case .mse: "the scale with the least squared error, weighted by the calibration if given"
    }
  }

  /// Scales to try, as parts of the plain one.
  var ratios: [Float] {
    switch self {
    case .round: [1]
    case .mse: (0...40).map { 1 - Float($0) / 100 }
    }
  }
}

internal import Tensors

/// What the errors of a model mean, in a word.
package enum Verdict: String, CaseIterable, Sendable {
  /// The noise prediction differs by about as much as between two programs or number types.
  case indistinguishable
  /// Images have the same content and quality, and differ in details.
  case close
  /// Images differ visibly.
  case different
  /// The noise prediction has little in common with the reference's, or is not a number.
  case broken
  /// The model was trained further, or has other weights merged, so that errors do not tell its
  /// quality.
  case retrained

  /// The largest mean over steps of the guided error, by verdict.
  package static let mostMean = (indistinguishable: 0.02, close: 0.1, different: 0.3)
  /// The largest guided error of a step of an indistinguishable model.
  package static let mostWorst = 0.08

  /// - Parameters:
  ///   - guided: relative errors of the guided prediction.
  ///   - isRetrained: whether kept tensors differ by more than rounding explains.
  package init(guided: ErrorSpread, isRetrained: Bool) {
    let limits = Self.mostMean
    if guided.mean.isNaN || guided.worst.isNaN {
      self = .broken
    } else if isRetrained {
      self = .retrained
    } else if guided.mean <= limits.indistinguishable, guided.worst <= Self.mostWorst {
      self = .indistinguishable
    } else if guided.mean <= limits.close {
      self = .close
    } else {
      self = guided.mean <= limits.different ? .different : .broken
    }
  }

  /// What the verdict means for images, as a clause.
  package var meaning: String {
    switch self {
    case .indistinguishable:
      "predictions are nearly the same; images can differ in details"
    case .close: "images have the same content and quality, and differ in details"
    case .different: "images differ visibly"
    case .broken: "the noise prediction has little in common with the reference's"
    case .retrained: "weights that no rounding changed are different; judge by the images"
    }
  }
}

extension VerificationReport.TensorResult {
  /// Whether the tensor differs by more than rounding between its two types explains; `nil` for
  /// tensors that are stored as codes, whose rounding has no such bound.
  package var isRetrained: Bool? {
    guard let most = [before, after].map(\.roundingError).reduce(0, largest) else { return nil }
    // Values below the smallest normal number lose more bits.
    return !(relativeError <= 8 * most)
  }
}

/// The larger of two numbers; `nil` where one is.
private func largest(_ a: Double?, _ b: Double?) -> Double? {
  guard let a, let b else { return nil }
  return max(a, b)
}

extension TensorEncoding {
  /// The largest relative error of rounding a number to the encoding; `nil` for codes.
  fileprivate var roundingError: Double? {
    guard case .plain(let kind) = self else { return nil }
    return switch kind {
    case .f64, .f32: 0x1p-20
    case .f16: 0x1p-11
    case .bf16: 0x1p-8
    case .f8e4m3, .f8e4m3fnuz: 0x1p-4
    case .f8e5m2, .f8e5m2fnuz: 0x1p-3
    default: nil
    }
  }
}

extension [VerificationReport.TensorResult] {
  /// Whether more than half of the kept tensors of one component differ by more than rounding
  /// explains.
  package func areRetrained(in component: String) -> Bool {
    let kept = filter { $0.component == component }.compactMap(\.isRetrained)
    return 2 * kept.count(where: { $0 }) > kept.count
  }
}

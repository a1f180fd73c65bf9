internal import Calibration
internal import Models
internal import Sampling
package import Support

extension ImageSize {
  /// A size as people write it, `WIDTHxHEIGHT`; `nil` for any other text, and sides below 1.
  package init?(text: String) {
    let parts = text.lowercased().split(separator: "x", omittingEmptySubsequences: false)
    guard parts.count == 2, let width = Int(parts[0]), let height = Int(parts[1]), width > 0,
      height > 0
    else { return nil }
    self.init(width: width, height: height)
  }
}

/// Pictures that a calibration or a verification makes, as a user says it.
package protocol RunRequest {
  /// A file with a prompt a line; `nil` is Decant's own list.
  var promptsPath: String? { get set }
  /// Use only so many prompts.
  var promptLimit: Int? { get set }
  var steps: Int { get set }
  /// Pictures a prompt.
  var seeds: Int { get set }
  /// `nil` is the model's own.
  var size: ImageSize? { get set }
}

/// What a calibration runs, as a user says it.
package struct CalibrationRequest: RunRequest, Sendable {
  /// A file with a prompt a line; `nil` is Decant's own list.
  package var promptsPath: String?
  /// Use only the first so many prompts.
  package var promptLimit: Int?
  package var steps: Int
  package var seeds: Int
  package var size: ImageSize?
  package var compute: Compute

  package static let standard = CalibrationRequest(
    promptsPath: nil, promptLimit: nil, steps: 20, seeds: 1, size: nil, compute: .f32)

  /// A request of the sampler with these numbers, to be judged before anything is read.
  var sampling: SamplingRequest {
    var request = SamplingRequest(prompt: "")
    request.steps = steps
    (request.width, request.height) = (size?.width, size?.height)
    return request
  }

  var prompts: [Prompt] {
    get throws { try [Prompt](path: promptsPath, limit: promptLimit) }
  }
}

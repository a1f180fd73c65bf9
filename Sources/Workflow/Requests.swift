internal import Calibration
internal import Models
internal import Sampling
package import Support

/// The settings that a calibration and a verification share.
package protocol RunRequest {
  /// A file with one prompt per line, or a JSON array; `nil` is Decant's own list.
  var promptsPath: String? { get set }
  /// The number of prompts to use; `nil` is all.
  var promptLimit: Int? { get set }
  /// Whether the standard ``promptLimit`` applies to a file of prompts too, and not only to
  /// Decant's own list.
  var limitsPromptFiles: Bool { get }
  var steps: Int { get set }
  /// Images per prompt.
  var seeds: Int { get set }
  /// The images' size; `nil` is the model's own.
  var size: ImageSize? { get set }
}

/// The user's settings of a calibration.
package struct CalibrationRequest: RunRequest, Sendable {
  /// A file with one prompt per line, or a JSON array; `nil` is Decant's own list.
  package var promptsPath: String?
  /// The prompts of ``promptsPath``, once they are read.
  private(set) var allPrompts: [Prompt]?
  /// The number of prompts to use, from the start of the list; `nil` is all.
  package var promptLimit: Int?
  package let limitsPromptFiles: Bool
  package var steps: Int
  package var seeds: Int
  package var size: ImageSize?
  package var compute: Compute

  package static let standard = CalibrationRequest(
    promptsPath: nil, promptLimit: nil, limitsPromptFiles: false,
    steps: SamplingRequest.standardRunSteps, seeds: 1, size: nil, compute: .f32)

  /// The calibration that is part of a longer job: few prompts, also of a file.
  package static let short = CalibrationRequest(
    promptsPath: nil, promptLimit: 4, limitsPromptFiles: true,
    steps: SamplingRequest.standardRunSteps, seeds: 1, size: nil, compute: .f32)

  /// A sampler's request with these settings, to check before any weights are read.
  var sampling: SamplingRequest {
    var request = SamplingRequest(prompt: "")
    request.steps = steps
    request.setSize(size)
    return request
  }

  /// Reads the prompts once, because a pipe cannot be read again.
  mutating func readPrompts() throws { allPrompts = try [Prompt](path: promptsPath) }

  var prompts: [Prompt] {
    get throws {
      let all = try allPrompts ?? [Prompt](path: promptsPath)
      return Array(all.prefix(promptLimit ?? all.count))
    }
  }
}

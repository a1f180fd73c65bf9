internal import Calibration
private import Formats
internal import Models
internal import Sampling
private import Tensors

/// A picture's size in pixels.
package struct PictureSize: Hashable, Sendable {
  package let width: Int
  package let height: Int

  package init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }
}

/// What a calibration runs, as a user says it.
package struct CalibrationRequest: Sendable {
  /// A file with a prompt a line; `nil` is Decant's own list.
  package var promptsPath: String?
  /// Use only the first so many prompts.
  package var promptLimit: Int?
  package var steps: Int
  package var seeds: Int
  package var size: PictureSize?
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

  var prompts: [CalibrationPrompt] {
    get throws { try readPrompts(promptsPath, limit: promptLimit) }
  }
}

/// Prompts of a file, or Decant's own.
func readPrompts(_ path: String?, limit: Int?) throws -> [CalibrationPrompt] {
  let prompts: [CalibrationPrompt]
  if let path {
    guard let text = String(validating: try ByteSlice.mapping(path).array, as: UTF8.self) else {
      throw JobError("\(path): a text in UTF-8 with a prompt a line is expected")
    }
    prompts = try [CalibrationPrompt](text: text, path: path)
  } else {
    prompts = CalibrationPrompts.all.map { CalibrationPrompt($0) }
  }
  return Array(prompts.prefix(limit ?? prompts.count))
}

package import Support

/// A request to generate images that no model can carry out, because its settings contradict each
/// other or are incomplete.
package enum GenerateError: RemediableError, Equatable {
  case noModel
  case noPrompt
  /// A mask without an initial image.
  case maskAlone(path: String)
  /// A strength without an initial image.
  case strengthAlone(Double)
  /// Initial latents for more than one prompt.
  case latentsForPrompts(Int)
  /// No file to write.
  case noOutput
  /// A file of the latents of more than one prompt.
  case savedLatentsOfPrompts(Int)
  /// Files of single images or of latents of more than one model.
  case outputsOfModels([String])

  package var description: String {
    switch self {
    case .noModel: "no model is named"
    case .noPrompt: "no prompt is given"
    case .maskAlone(let path): "the mask \(path) is given without an initial image"
    case .strengthAlone(let strength):
      "a strength of \(strength) is given without an initial image"
    case .latentsForPrompts(let count):
      "initial latents are given with \(counted(count, "prompt")), expected one prompt"
    case .noOutput: "no output is named"
    case .savedLatentsOfPrompts(let count):
      "the latents of \(counted(count, "prompt")) cannot be saved, expected one prompt"
    case .outputsOfModels(let models):
      "\(counted(models.count, "model")) are named: \(listed(models)); files of single images and "
        + "of latents are written for one model"
    }
  }

  private static let onePrompt = Remedy.act("give one prompt")

  package var remedy: Remedy? {
    switch self {
    case .noModel, .noPrompt: nil
    case .maskAlone: .either([.choose(.initImage, purpose: "too"), .leaveOut(.mask)])
    case .strengthAlone: .either([.choose(.initImage, purpose: "too"), .leaveOut(.strength)])
    case .latentsForPrompts: .either([Self.onePrompt, .leaveOut(.latents)])
    case .noOutput:
      .either([.choose(.output), .choose(.grid, purpose: "for all images in one file")])
    case .savedLatentsOfPrompts: .either([Self.onePrompt, .leaveOut(.saveLatents)])
    case .outputsOfModels: .choose(.grid, purpose: "for all images in one file")
    }
  }
}

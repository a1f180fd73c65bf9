import ModelSources

/// Programs that read plain single-file checkpoints: web UIs, ComfyUI, diffusers'
/// `from_single_file`.
struct CheckpointProfile: OutputProfile {
  let name = "checkpoint"
  let title = "other programs (single file)"
  var container: String { CheckpointWriter().name }

  func notes(_ model: ModelSource) -> [String] {
    ComfyUIFacts.notes(model)
      + model.guidanceNotes(for: ["ComfyUI", "diffusers' from_single_file"])
      + stableDiffusionCppNotes(model)
  }

  /// The note that stable-diffusion.cpp reads the projection of SDXL's second text encoder wrongly;
  /// empty for models without it, and for those that the program does not load.
  private func stableDiffusionCppNotes(_ model: ModelSource) -> [String] {
    let program = StableDiffusionCppProfile()
    guard model[ComponentName.textEncoder2] != nil, program.refusal(model) == nil,
      let fault = program.fault(in: container)
    else { return [] }
    return ["\(fault); for it, give the output the ending \(GGUFWriter().outputName(stem: ""))"]
  }

  func tensors(of model: ModelSource, options: WriteOptions) throws -> [any WeightSource] {
    try LDMNames.sources(of: model, numbering: options.numbering ?? .dense)
  }
}

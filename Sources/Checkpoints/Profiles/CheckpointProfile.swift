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
  }

  func tensors(of model: ModelSource, options: WriteOptions) throws -> [any WeightSource] {
    try LDMNames.sources(of: model, numbering: options.numbering ?? .dense)
  }
}

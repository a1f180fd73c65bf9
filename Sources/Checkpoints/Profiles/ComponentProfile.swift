import Formats
import ModelSources
import Tensors

/// Programs that load each component from a file of its own: ComfyUI's "Load CLIP", "Load VAE" and
/// "Load Diffusion Model", and stable-diffusion.cpp's options for components.
struct ComponentProfile: OutputProfile {
  let name = "component"
  let title = "programs that load single components"
  var container: String { ComponentWriter().name }

  /// stable-diffusion.cpp does not recognize the version of a U-Net in a file of its own.
  func notes(_ model: ModelSource) -> [String] {
    ComfyUIFacts.notes(model) + model.guidanceNotes(for: ["ComfyUI"])
  }

  /// U-Nets and autoencoders have LDM names. All text encoders have transformers' names, also those
  /// of OpenCLIP, whose projection is then not transposed.
  func tensors(of model: ModelSource, options: WriteOptions) throws -> [any WeightSource] {
    try model.components.flatMap { component -> [any WeightSource] in
      if ComponentName.textEncoders.contains(component.name) {
        let names = component.weights.names.filter { !$0.hasSuffix(SingleFileKeys.positionIDs) }
        return [
          try MappedSource(
            component.weights,
            names.map { name in
              (name, .tensor(name, shape: component.weights.entry(name)?.shape ?? []))
            })
        ]
      }
      var alone = model
      alone.components = [component]
      let prefix = component.name == ComponentName.unet ? LDMKeys.unet : LDMKeys.autoencoder
      return try LDMNames.sources(of: alone, numbering: .dense).map {
        UnprefixedSource($0, prefix: prefix)
      }
    }
  }
}

/// ComfyUI without other nodes, which loads each component from a file of its own. The U-Net's linear
/// layers may be quantized, as in ``ComfyUIProfile``.
struct ComfyUIComponentProfile: OutputProfile {
  let name = "comfyui"
  let title = "ComfyUI (single components)"
  let programTitle = "ComfyUI"
  var container: String { ComponentWriter().name }

  private var wholeModels: ComfyUIProfile { ComfyUIProfile() }

  var memory: ProgramMemory { wholeModels.memory }

  /// Other components than the U-Net are not refused.
  func refusal(_ model: ModelSource) -> String? {
    model[ComponentName.unet] == nil ? nil : wholeModels.refusal(model)
  }

  func notes(_ model: ModelSource) -> [String] { wholeModels.notes(model) }

  func accepted(_ encoding: TensorEncoding) -> TensorEncoding? { wholeModels.accepted(encoding) }

  func holds(_ entry: TensorEntry, of tensor: String, in component: String) -> Bool {
    wholeModels.holds(entry, of: tensor, in: component)
  }

  func tensors(of model: ModelSource, options: WriteOptions) throws -> [any WeightSource] {
    try ComponentProfile().tensors(of: model, options: options).map {
      SplitSource($0, split: ComfyUIForm.pieces)
    }
  }
}

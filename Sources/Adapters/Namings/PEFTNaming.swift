import Formats
import ModelSources

/// diffusers' `save_lora_weights` and PEFT: the module's name with dots, after the component's name.
/// PEFT's files do not name the component, which is a U-Net or a single text encoder.
struct PEFTNaming: AdapterNaming {
  func keys(
    _ module: String, component: String, isAlone: Bool, ldmName: String?
  ) -> [String] {
    if component == ComponentName.unet { return ["\(component).\(module)", module] }
    guard isAlone else { return ["\(component).\(module)"] }
    // A single text encoder is the first one in files, also where it is OpenCLIP's.
    return ["\(component).\(module)", "\(ComponentName.textEncoder).\(module)", module]
  }

  func beginnings(of component: String) -> [String] {
    let alone: [String] =
      switch component {
      case ComponentName.unet: AdapterKeys.blocks
      case ComponentName.textEncoder: [AdapterKeys.textModel]
      default: []
      }
    return ["\(component)."] + alone
  }
}

import Formats
import ModelSources

/// diffusers' `save_lora_weights` and PEFT's own files: the module's name with dots, below the
/// component's, or below what PEFT puts around a model.
struct PEFTNaming: AdapterNaming {
  func keys(
    _ module: String, component: String, isAlone: Bool, ldmName: String?
  ) -> [String] {
    var keys = ["\(component).\(module)", "\(AdapterKeys.wrapper)\(component).\(module)"]
    // transformers' models have no `text_model.` any more.
    if module.hasPrefix(AdapterKeys.textModel) {
      keys.append("\(component).\(module.dropFirst(AdapterKeys.textModel.count))")
    }
    // What PEFT saves of one text encoder does not name it.
    if component != ComponentName.unet, isAlone { keys.append(AdapterKeys.wrapper + module) }
    if component == ComponentName.unet { keys += [module, AdapterKeys.wrapper + module] }
    return keys
  }
}

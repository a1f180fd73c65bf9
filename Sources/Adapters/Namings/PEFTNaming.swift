import Formats
import ModelSources

/// diffusers' `save_lora_weights` and PEFT: the module's name with dots, after the component's name
/// or after PEFT's prefix.
struct PEFTNaming: AdapterNaming {
  func keys(
    _ module: String, component: String, isAlone: Bool, ldmName: String?
  ) -> [String] {
    var keys = ["\(component).\(module)", "\(AdapterKeys.wrapper)\(component).\(module)"]
    // Current versions of transformers have no `text_model.` prefix.
    if module.hasPrefix(AdapterKeys.textModel) {
      keys.append("\(component).\(module.dropFirst(AdapterKeys.textModel.count))")
    }
    // PEFT's files of a text encoder do not name the component.
    if component != ComponentName.unet, isAlone { keys.append(AdapterKeys.wrapper + module) }
    if component == ComponentName.unet { keys += [module, AdapterKeys.wrapper + module] }
    return keys
  }
}

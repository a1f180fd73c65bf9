/// diffusers' `save_lora_weights` and PEFT's own files: the module's name with dots, below the
/// component's, or below what PEFT puts around a model.
struct PEFTNaming: AdapterNaming {
  func keys(
    _ module: String, component: String, isAlone: Bool, ldmName: String?
  ) -> [String] {
    var keys = ["\(component).\(module)", "base_model.model.\(component).\(module)"]
    // transformers' models have no `text_model.` any more.
    if module.hasPrefix("text_model.") {
      keys.append("\(component).\(module.dropFirst("text_model.".count))")
    }
    // What PEFT saves of one text encoder does not name it.
    if component != "unet", isAlone { keys.append("base_model.model.\(module)") }
    if component == "unet" { keys += [module, "base_model.model.\(module)"] }
    return keys
  }
}

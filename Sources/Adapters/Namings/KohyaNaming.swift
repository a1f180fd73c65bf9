/// kohya-ss/sd-scripts, and LyCORIS after it: a prefix and the module's name with underscores. U-Nets of
/// SDXL have the names of the LDM layout there.
struct KohyaNaming: AdapterNaming {
  func keys(
    _ module: String, component: String, isAlone: Bool, ldmName: String?
  ) -> [String] {
    func flat(_ name: String) -> String { String(name.map { $0 == "." ? "_" : $0 }) }
    switch component {
    case "unet": return ([module] + [ldmName].compactMap { $0 }).map { "lora_unet_" + flat($0) }
    case "text_encoder":
      return (isAlone ? ["lora_te_", "lora_te1_"] : ["lora_te1_"]).map { $0 + flat(module) }
    case "text_encoder_2":
      return (isAlone ? ["lora_te_", "lora_te2_"] : ["lora_te2_"]).map { $0 + flat(module) }
    default: return []
    }
  }
}

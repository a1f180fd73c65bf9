import Formats
import ModelSources

/// Early versions of diffusers, with adapters in attention processors: `….attn1.processor.to_q`,
/// and `….processor.to_out` for `….to_out.0`. Text encoders have the same names of layers:
/// `….self_attn.to_q` for `….self_attn.q_proj`.
struct ProcessorNaming: AdapterNaming {
  func keys(
    _ module: String, component: String, isAlone: Bool, ldmName: String?
  ) -> [String] {
    let isUNet = component == ComponentName.unet
    let part = isUNet && module.hasSuffix(".to_out.0") ? String(module.dropLast(2)) : module
    guard let dot = part.lastIndex(of: ".") else { return [] }
    let name = String(part[part.index(after: dot)...])
    if isUNet {
      guard AdapterKeys.processed.contains(name) else { return [] }
      let key = "\(part[..<dot]).processor.\(name)"
      return [key, "\(component).\(key)"]
    }
    return AdapterKeys.textProcessed[name].map { ["\(component).\(part[..<dot]).\($0)"] } ?? []
  }

  // The names begin as PEFT's do.
  func beginnings(of component: String) -> [String] { [] }
}

import Formats
import ModelSources

/// Early versions of diffusers, with adapters in attention processors: `….attn1.processor.to_q`,
/// and `….processor.to_out` for `….to_out.0`.
struct ProcessorNaming: AdapterNaming {
  func keys(
    _ module: String, component: String, isAlone: Bool, ldmName: String?
  ) -> [String] {
    guard component == ComponentName.unet else { return [] }
    let part = module.hasSuffix(".to_out.0") ? String(module.dropLast(2)) : module
    guard let dot = part.lastIndex(of: ".") else { return [] }
    let name = part[part.index(after: dot)...]
    guard AdapterKeys.processed.contains(String(name)) else { return [] }
    let key = "\(part[..<dot]).processor.\(name)"
    return [key, "\(component).\(key)"]
  }
}

import Formats
import ModelSources

/// kohya-ss/sd-scripts and LyCORIS: a prefix, and the module's name with underscores. U-Nets of
/// SDXL have the names of the LDM layout.
struct KohyaNaming: AdapterNaming {
  func keys(
    _ module: String, component: String, isAlone: Bool, ldmName: String?
  ) -> [String] {
    if component == ComponentName.unet {
      return ([module] + [ldmName].compactMap { $0 }).map { AdapterKeys.kohyaUNet + flattened($0) }
    }
    guard let index = ComponentName.textEncoders.firstIndex(of: component) else { return [] }
    let prefix = AdapterKeys.kohyaTextEncoders[index]
    return (isAlone ? [AdapterKeys.kohyaTextEncoder, prefix] : [prefix]).map {
      $0 + flattened(module)
    }
  }

  func beginnings(of component: String) -> [String] {
    if component == ComponentName.unet { return [AdapterKeys.kohyaUNet] }
    guard let index = ComponentName.textEncoders.firstIndex(of: component) else { return [] }
    return [AdapterKeys.kohyaTextEncoders[index]]
      + (index == 0 ? [AdapterKeys.kohyaTextEncoder] : [])
  }
}

import Formats
import ModelSources

/// ComfyUI's own names of modules, which are the LDM layout's for the U-Net; and the LDM layout's
/// names alone.
struct ComfyUINaming: AdapterNaming {
  func keys(
    _ module: String, component: String, isAlone: Bool, ldmName: String?
  ) -> [String] {
    if component == ComponentName.unet {
      return ldmName.map { [AdapterKeys.comfyUIUNet + $0, $0] } ?? []
    }
    guard let index = ComponentName.textEncoders.firstIndex(of: component) else { return [] }
    return AdapterKeys.comfyUITextEncoders[index].map { $0 + module }
  }

  func beginnings(of component: String) -> [String] {
    if component == ComponentName.unet {
      return [AdapterKeys.comfyUIUNet] + AdapterKeys.blocksOfLDM
    }
    let index = ComponentName.textEncoders.firstIndex(of: component)
    return index.map { AdapterKeys.comfyUITextEncoders[$0] } ?? []
  }
}

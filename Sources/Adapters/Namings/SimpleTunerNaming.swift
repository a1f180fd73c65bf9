import Formats
import ModelSources

/// SimpleTuner's LyCORIS files: a prefix, and diffusers' name of a U-Net's module with underscores.
struct SimpleTunerNaming: AdapterNaming {
  func keys(
    _ module: String, component: String, isAlone: Bool, ldmName: String?
  ) -> [String] {
    guard component == ComponentName.unet else { return [] }
    return [AdapterKeys.simpleTunerUNet + flattened(module)]
  }

  func beginnings(of component: String) -> [String] {
    component == ComponentName.unet ? [AdapterKeys.simpleTunerUNet] : []
  }
}

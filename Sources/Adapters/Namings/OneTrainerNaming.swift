import Formats
import ModelSources

/// OneTrainer: in the format of the Open Model Initiative, the LDM layout's names with dots after
/// `unet`, and `clip_l` or `clip_g` before those of text encoders; else kohya's prefixes before
/// diffusers' names with dots.
struct OneTrainerNaming: AdapterNaming {
  func keys(
    _ module: String, component: String, isAlone: Bool, ldmName: String?
  ) -> [String] {
    if component == ComponentName.unet {
      let prefixes = AdapterKeys.oneTrainerUNet
      return [ldmName.map { prefixes.ldm + $0 }, prefixes.diffusers + module].compactMap { $0 }
    }
    guard let index = ComponentName.textEncoders.firstIndex(of: component) else { return [] }
    let own = AdapterKeys.oneTrainerTextEncoders[index]
    // A single text encoder is `clip_l` in files, also where it is OpenCLIP's.
    let prefixes =
      isAlone
      ? own + AdapterKeys.oneTrainerTextEncoders[0] + [AdapterKeys.oneTrainerTextEncoder] : own
    return prefixes.map { $0 + module }
  }

  func beginnings(of component: String) -> [String] {
    if component == ComponentName.unet {
      return [AdapterKeys.oneTrainerUNet.ldm, AdapterKeys.oneTrainerUNet.diffusers]
    }
    guard let index = ComponentName.textEncoders.firstIndex(of: component) else { return [] }
    return AdapterKeys.oneTrainerTextEncoders[index]
      + (index == 0 ? [AdapterKeys.oneTrainerTextEncoder] : [])
  }
}

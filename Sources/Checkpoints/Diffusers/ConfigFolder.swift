package import ModelSources
import Support

extension DiffusersFolderReader {
  /// Whether a diffusers folder holds the config of a component, where diffusers looks for it:
  /// `unet/config.json`.
  package static func folder(
    _ path: String, holdsConfigOf component: ModelSource.Component
  ) -> Bool {
    let config = try? readObject("\(path)/\(component.name)/\(DiffusersLayout.configFile)")
    return config == component.config
  }
}

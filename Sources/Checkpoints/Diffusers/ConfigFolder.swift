package import ModelSources
import Support

extension DiffusersFolderReader {
  /// Whether a diffusers folder holds the config of a component, where diffusers looks for it:
  /// `unet/config.json`.
  package static func folder(
    _ path: String, holdsConfigOf component: ModelSource.Component
  ) -> Bool {
    let place = "\(path)/\(component.name)/\(DiffusersLayout.configFile)"
    guard let bytes = try? ByteSlice.mapping(place),
      let config = try? JSONValue(parsing: bytes.bytes)
    else { return false }
    return config.object == component.config
  }
}

internal import Checkpoints
internal import Formats
internal import ModelSources
internal import Models
internal import Support
internal import Tensors

/// The modules of a model, by every name that an adapter file may use for them.
struct AdapterTargets {
  /// A module of the model.
  struct Place: Hashable {
    let component: String
    let module: String
  }

  private struct Target {
    let place: Place
    let shape: Shape
  }

  private var targets: [String: Target] = [:]

  init(of model: ModelSource) throws(ConfigError) {
    let encoders = model.components.filter { ComponentName.textEncoders.contains($0.name) }.count
    for component in model.components where component.name != ComponentName.vae {
      add(
        try component.modules(in: model.location) ?? [], of: component.name,
        config: component.config, isAlone: encoders == 1)
    }
  }

  /// The modules of a published model.
  init(of template: ModelTemplate, named name: String) throws(ConfigError) {
    let configs = try template.configs(location: name)
    for component in template.components where component.name != ComponentName.vae {
      add(
        configs.modules(of: component.name), of: component.name, config: component.config,
        isAlone: configs.textEncoders.count == 1)
    }
  }

  private mutating func add(
    _ modules: [ModuleSpec], of component: String, config: JSONObject, isAlone: Bool
  ) {
    let modules = modules.filter { $0.kind != .embedding }
    let ldm =
      component == ComponentName.unet
      ? LDMModules.names(of: config, modules: modules.map(\.name)) : [:]
    for module in modules {
      let place = Place(component: component, module: module.name)
      var names = [module.name]
      // Current versions of transformers have no `text_model.` prefix.
      if module.name.hasPrefix(AdapterKeys.textModel) {
        names.append(String(module.name.dropFirst(AdapterKeys.textModel.count)))
      }
      for name in names {
        for naming in AdapterNamings.all {
          let keys = naming.keys(
            name, component: component, isAlone: isAlone, ldmName: ldm[module.name])
          for key in keys where targets[key] == nil {
            targets[key] = Target(place: place, shape: module.weight.shape)
          }
        }
      }
    }
  }

  /// The module with this name in an adapter file, without wrappers; `nil` if the model has no such
  /// module.
  func place(of name: String) -> Place? { targets[name]?.place }

  /// The shape of that module's weight.
  func shape(of name: String) -> Shape? { targets[name]?.shape }
}

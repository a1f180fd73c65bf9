package import ModelSources
private import Support

/// The place of a component's config for messages: its path in a diffusers folder, or the file with
/// the component's name.
func configPlace(of component: String, in model: String) -> String {
  isFile(model)
    ? "\(model) (\(component))" : "\(folderPath(model))/\(component)/config.json"
}

extension ModelSource.Component {
  /// Every layer with weights, from the component's config alone; `nil` for a component that Decant
  /// does not run.
  ///
  /// - Parameter model: the model's location. Errors name the config by its path below it.
  package func modules(in model: String) throws(ConfigError) -> [ModuleSpec]? {
    let location = configPlace(of: name, in: model)
    switch name {
    case ComponentName.unet: return try UNetConfig(json: config, location: location).modules
    case ComponentName.vae: return try VAEConfig(json: config, location: location).modules
    case ComponentName.textEncoder, ComponentName.textEncoder2:
      return try TextEncoderConfig(json: config, location: location, className: className).modules
    default: return nil
    }
  }

  /// Checks every tensor of the component against its module tree. The rest of the model does not
  /// matter.
  ///
  /// - Parameter model: the model's location in errors.
  package func check(in model: String) throws(BindingError) {
    let modules: [ModuleSpec]?
    do { modules = try self.modules(in: model) } catch { throw .config(error) }
    guard let modules else { return }
    let faults = TensorComparison(
      Model.Component(name: name, modules: modules, weights: weights),
      configIsDerived: configIsDerived
    ).faults
    guard faults.isEmpty else { throw .tensors(location: model, [faults]) }
  }
}

extension ModelSource {
  /// Checks a model, or a part of a model.
  ///
  /// - Parameter part: whether the source may lack components, if those that it has are valid.
  /// - Returns: the model; `nil` for a part.
  package func bound(orPart part: Bool) throws(BindingError) -> Model? {
    let error: BindingError
    do {
      return try Model.bind(self)
    } catch let failure {
      error = failure
    }
    guard part, !components.isEmpty, case .missingComponents = error else { throw error }
    for component in components { try component.check(in: location) }
    return nil
  }

  /// The components that Decant runs, each with its module list. Tensors are not checked.
  ///
  /// - Throws: ``BindingError/config(_:)``.
  package func componentsWithModules() throws(BindingError) -> [Model.Component] {
    var known: [Model.Component] = []
    for component in components {
      let modules: [ModuleSpec]?
      do { modules = try component.modules(in: location) } catch { throw .config(error) }
      if let modules {
        known.append(
          Model.Component(name: component.name, modules: modules, weights: component.weights))
      }
    }
    return known
  }
}

internal import Formats
internal import ModelSources
internal import Models
internal import Support
internal import Tensors

/// Finds the models that an adapter was made for, from the names and shapes of its modules.
enum AdapterOrigin {
  /// The published families that most of the adapter's modules fit; empty where at most nine of ten
  /// fit any family, or no more than fit the model itself.
  ///
  /// - Parameter own: the number of modules that fit the model.
  /// - Throws: `CancellationError`, or ``ConfigError`` for an invalid table of configs.
  static func families(of file: AdapterFile, exceeding own: Int) throws -> [Family] {
    var best = max(own, file.modules.count * 9 / 10)
    var found: [Family] = []
    for family in Family.all {
      guard let template = family.template else { continue }
      try Cancellation.check()
      let targets = try AdapterTargets(of: template, named: family.name)
      let fitting = count(of: file, fitting: targets)
      if fitting > best {
        best = fitting
        found = [family]
      } else if fitting == best, !found.isEmpty {
        found.append(family)
      }
    }
    return found
  }

  /// The number of the adapter's modules whose names and shapes fit a model.
  static func count(of file: AdapterFile, fitting targets: AdapterTargets) -> Int {
    file.modules.count { key, module in
      guard let shape = targets.shape(of: module.name),
        let kind = try? AdapterKinds.merging(module, key: key, in: file)
      else { return false }
      return (try? kind.check(module, key: key, against: shape, in: file)) != nil
    }
  }

  /// The kind of model, such as Flux, that the module names belong to; `nil` for Stable Diffusion
  /// and for unknown names.
  static func foreignKind(of modules: [String]) -> String? {
    let names = modules.map { flattened($0) + "_" }
    return AdapterKeys.foreign.first { mark, _ in names.contains { $0.contains(mark) } }?.kind
  }

  /// The title of a model's family, or the name of its architecture if no family matches.
  static func title(of model: ModelSource) -> String {
    let bound = try? model.bound(orPart: true)
    return bound?.family.title ?? Architectures.of(model.components).name
  }
}

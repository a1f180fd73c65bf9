package import Models
internal import Tensors

/// Calibration statistics of the inputs of a component's convolutions and linear layers.
package struct ActivationStatistics: Sendable, Equatable {
  package let bands: TimestepBands
  /// Names of the modules, in the order of the component's module list.
  package let names: [String]
  private var modules: [String: ModuleStatistics]

  /// Empty statistics of the convolutions and linear layers among `modules`.
  package init(modules: [ModuleSpec], bands: TimestepBands) {
    self.init(
      modules.filter(\.kind.isMatrix).map {
        ($0.name, ModuleStatistics(channels: $0.weight.shape[1], bands: bands.count))
      }, bands: bands)
  }

  /// - Precondition: no name occurs twice.
  package init(_ modules: [(String, ModuleStatistics)], bands: TimestepBands) {
    self.bands = bands
    names = modules.map(\.0)
    self.modules = Dictionary(uniqueKeysWithValues: modules)
  }

  package subscript(module: String) -> ModuleStatistics? { modules[module] }

  /// Updates the statistics of one module.
  ///
  /// - Returns: the result of `body`, or `nil` when there is no such module.
  package mutating func update<Result>(
    _ module: String, _ body: (inout ModuleStatistics) -> Result
  ) -> Result? {
    guard let index = modules.index(forKey: module) else { return nil }
    return body(&modules.values[index])
  }

  /// Adds the statistics of other runs.
  ///
  /// - Returns: the first module with a sum that overflows, or `nil`.
  /// - Precondition: both have the same modules and bands.
  package mutating func merge(_ other: ActivationStatistics) -> String? {
    precondition(names == other.names && bands == other.bands, "statistics of other modules")
    for name in names {
      guard let theirs = other.modules[name] else { continue }
      if update(name, { $0.merge(theirs) }) != true { return name }
    }
    return nil
  }
}

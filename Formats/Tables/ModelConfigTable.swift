/// The configs of one published model, as the texts of its files.
///
/// A config is one JSON object or several: members of a later one take the place of those of the
/// same name before it, so that models which differ in a few members are not written out twice.
package struct ModelConfigTable: Sendable {
  package struct Component: Sendable {
    package let name: String
    package let className: String
    package let config: [String]

    init(name: String, className: String, config: String...) {
      self.init(name: name, className: className, configs: config)
    }

    init(name: String, className: String, configs: [String]) {
      self.name = name
      self.className = className
      config = configs
    }
  }

  /// `model_index.json`.
  package let index: [String]
  /// By name, as diffusers lists its folders.
  package let components: [Component]
  package let scheduler: [String]
  /// Other small files by path.
  package let files: [(path: String, text: String)]

  init(
    index: String, components: [Component], scheduler: String,
    files: [(path: String, text: String)]
  ) {
    self.init(index: [index], components: components, scheduler: [scheduler], files: files)
  }

  private init(
    index: [String], components: [Component], scheduler: [String],
    files: [(path: String, text: String)]
  ) {
    self.index = index
    self.components = components
    self.scheduler = scheduler
    self.files = files
  }

  /// The table with members of some configs changed, by the component's name, `scheduler` or
  /// `model_index`.
  func changing(_ changes: [String: String]) -> ModelConfigTable {
    func changed(_ texts: [String], _ name: String) -> [String] {
      texts + [changes[name]].compactMap { $0 }
    }
    return ModelConfigTable(
      index: changed(index, "model_index"),
      components: components.map {
        Component(name: $0.name, className: $0.className, configs: changed($0.config, $0.name))
      },
      scheduler: changed(scheduler, "scheduler"), files: files)
  }
}

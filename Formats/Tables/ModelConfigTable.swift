/// The configs of one published model, as JSON texts.
///
/// A config is a list of JSON objects. Members of a later object override those of earlier ones, so
/// that models which differ in a few members share a text.
package struct ModelConfigTable: Sendable {
  /// A component's class and config.
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
  /// Sorted by name, as diffusers' folders are.
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

  /// The table with some config members overridden. Keys are component names, `scheduler` or
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

/// The configs of one published model, as the texts of its files.
package struct ModelConfigTable: Sendable {
  package struct Component: Sendable {
    package let name: String
    package let className: String
    package let config: String
  }

  /// `model_index.json`.
  package let index: String
  /// By name, as diffusers lists its folders.
  package let components: [Component]
  package let scheduler: String
  /// Other small files by path.
  package let files: [(path: String, text: String)]
}

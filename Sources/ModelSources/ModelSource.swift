package import Support

/// A model as a reader found it: components with configs and weights, and the files beside them.
///
/// This is where other people's formats (`Checkpoints`), Decant's own (`Packfiles`) and `Models`
/// meet: readers make one, transforms change its components, writers take one. Nothing in it is
/// interpreted yet: configs are JSON as it was written, so that absent and null stay apart.
package struct ModelSource: Sendable {
  /// One part of a pipeline with weights, by its folder's name: `unet`, `vae`, `text_encoder`.
  package struct Component: Sendable {
    package let name: String
    /// diffusers' or transformers' class, as in `model_index.json`: `UNet2DConditionModel`.
    package var className: String
    package var config: JSONObject
    package var weights: any WeightSource

    package init(
      name: String, className: String, config: JSONObject, weights: any WeightSource
    ) {
      self.name = name
      self.className = className
      self.config = config
      self.weights = weights
    }
  }

  /// A small file that belongs to the model, by its path in a diffusers folder:
  /// `tokenizer/vocab.json`.
  package struct File: Sendable {
    package let path: String
    package let bytes: ByteSlice

    package init(path: String, bytes: ByteSlice) {
      self.path = path
      self.bytes = bytes
    }
  }

  /// What became of a moving average of the U-Net's weights, which some files hold beside them.
  package enum MovingAverage: String, Sendable {
    /// It was read, and the plain weights are there too.
    case taken
    /// It was read; there are no others.
    case takenAlone = "taken, there are no others"
    /// The plain weights were read.
    case left = "left out"
    /// It was not read, so that there is no U-Net.
    case leftAlone = "left out, there are no others"

    /// The member of ``ModelSource/provenance`` that says so.
    package static let fact = "moving_average"
  }

  /// What became of the moving average; `nil` where the place holds none.
  package var movingAverage: MovingAverage? {
    provenance[MovingAverage.fact]?.string.flatMap(MovingAverage.init)
  }

  /// The file or folder that was read.
  package var location: String
  /// What it was: `diffusers folder`, `decant file`.
  package var layout: String
  /// The contents of `model_index.json`.
  package var index: JSONObject
  /// In the order of diffusers' folders: by name.
  package var components: [Component]
  /// `scheduler/scheduler_config.json`; `nil` when the model has none.
  package var scheduler: JSONObject?
  /// Tokenizers' and other small files, by path, in a stable order.
  package var files: [File]
  /// What is known of where the model came from and what was done to it.
  package var provenance: JSONObject
  /// Whether the components' configs were found from their tensors, which do not show everything.
  package var configsAreDerived = false
  /// Members to add to the provenance, asked for once every tensor was read: what transforms did
  /// is known only then. They take the place of members of the same name.
  package var lateProvenance: (@Sendable () throws -> JSONObject)?

  package init(
    location: String, layout: String, index: JSONObject, components: [Component],
    scheduler: JSONObject?, files: [File], provenance: JSONObject = JSONObject()
  ) {
    self.location = location
    self.layout = layout
    self.index = index
    self.components = components
    self.scheduler = scheduler
    self.files = files
    self.provenance = provenance
  }

  /// The whole provenance; writers ask for it after the last tensor.
  package func completedProvenance() throws -> JSONObject {
    var whole = provenance
    for (name, value) in try lateProvenance?().members ?? [] { whole[name] = value }
    return whole
  }

  /// The component of that name, or `nil`; assigning replaces it where it stands.
  package subscript(name: String) -> Component? {
    get { components.first { $0.name == name } }
    set {
      let index = components.firstIndex { $0.name == name }
      switch (index, newValue) {
      case (let index?, let component?): components[index] = component
      case (let index?, nil): components.remove(at: index)
      case (nil, let component?): components.append(component)
      case (nil, nil): break
      }
    }
  }

  package func file(_ path: String) -> ByteSlice? { files.first { $0.path == path }?.bytes }
}

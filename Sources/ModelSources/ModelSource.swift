package import Support

/// A model as it is stored: components with configs and weights, and small files.
///
/// Readers create a model source, transforms change its components, and writers store it. Configs
/// are JSON as in the files, so that absent and null members stay distinct.
package struct ModelSource: Sendable {
  /// A component of a pipeline that has weights.
  package struct Component: Sendable {
    /// The name of its folder in a diffusers folder: `unet`, `vae`, `text_encoder`.
    package let name: String
    /// The class of diffusers or transformers, as in `model_index.json`: `UNet2DConditionModel`.
    package var className: String
    package var config: JSONObject
    package var weights: any WeightSource
    /// Whether the config was derived from names and shapes of tensors, which do not determine
    /// every member.
    package var configIsDerived: Bool

    package init(
      name: String, className: String, config: JSONObject, weights: any WeightSource,
      configIsDerived: Bool = false
    ) {
      self.name = name
      self.className = className
      self.config = config
      self.weights = weights
      self.configIsDerived = configIsDerived
    }
  }

  /// A small file of the model, such as a tokenizer's vocabulary.
  package struct File: Sendable {
    /// The path in a diffusers folder: `tokenizer/vocab.json`.
    package let path: String
    package let bytes: ByteSlice
    /// Whether no input holds the file, which is a default of an architecture.
    package let isDefault: Bool

    package init(path: String, bytes: ByteSlice, isDefault: Bool = false) {
      self.path = path
      self.bytes = bytes
      self.isDefault = isDefault
    }
  }

  /// Whether the reader read the moving average of the U-Net's weights, which some files hold. Files
  /// store the raw values.
  package enum MovingAverage: String, Sendable {
    /// The moving average was read. The file also holds plain weights.
    case read = "taken"
    /// The moving average was read. The file holds no plain weights.
    case readWithoutOthers = "taken, there are no others"
    /// The plain weights were read.
    case ignored = "left out"
    /// The plain weights were read. The moving average lacks tensors.
    case ignoredIncomplete = "left out, incomplete"
    /// Nothing was read, because the file holds no plain weights. The model has no U-Net.
    case ignoredWithoutOthers = "left out, there are no others"

    /// The member of ``ModelSource/provenance`` that holds the value.
    package static let fact = "moving_average"
  }

  /// Whether the moving average was read; `nil` where the file holds none.
  package var movingAverage: MovingAverage? {
    provenance[MovingAverage.fact]?.string.flatMap(MovingAverage.init)
  }

  /// The path of the file or folder.
  package var location: String
  /// The paths of the files in the folder at ``location`` that the model was read from; empty for a
  /// file and a model that was not read.
  package var inputFiles: [String] = []
  /// The layout of the file or folder: `diffusers folder`, `decant file`.
  package var layout: String
  /// The contents of `model_index.json`.
  package var index: JSONObject
  /// The components, sorted by name.
  package var components: [Component]
  /// The contents of `scheduler/scheduler_config.json`; `nil` where the model has none.
  package var scheduler: JSONObject?
  /// Small files, such as those of tokenizers, in a stable order.
  package var files: [File]
  /// The model's origin and the steps that changed it.
  package var provenance: JSONObject
  /// Whether ``index`` and ``scheduler`` are defaults of an architecture, which no input states.
  package var indexIsDefault = false
  package var schedulerIsDefault = false
  /// What the file of the U-Net shows of its prediction type, where no scheduler config states it.
  package var predictionEvidence: PredictionEvidence?
  /// What readers and transforms left out, changed, added or assumed, in the order in which they did
  /// so.
  package var changes: [ModelChange] = []
  /// Computes members to add to the provenance, or to replace there. Called after the last tensor
  /// was read, because transforms have their results only then.
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

  /// Whether the config of a component was derived from tensors.
  package var configsAreDerived: Bool { components.contains(where: \.configIsDerived) }

  /// The complete provenance. Writers call it after the last tensor was read.
  package func completedProvenance() throws -> JSONObject {
    var whole = provenance
    for (name, value) in try lateProvenance?().members ?? [] { whole[name] = value }
    return whole
  }

  /// The component with a name. Assigning replaces, appends or removes it.
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

  /// The contents of a small file; `nil` where the model has none at that path.
  package func file(_ path: String) -> ByteSlice? { files.first { $0.path == path }?.bytes }
}

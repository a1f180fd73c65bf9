private import Calibration
internal import ModelSources
internal import Models
private import Sampling
package import Support
private import Tensors

/// What a user must know about a model to choose settings.
package struct ModelFacts: Sendable {
  /// The name of the model's file, folder or family.
  package let name: String
  /// The family's name and title.
  package let family: String
  package let familyTitle: String
  /// The size of the images that the model was trained on.
  package let size: ImageSize
  /// Sides of images are multiples of this number of pixels.
  package let sideFactor: Int
  /// The usual steps and guidance scale of the family.
  package let steps: Int
  package let guidanceScale: Double
  /// The ``SchedulerKind/name`` of the model's own scheduler; `nil` where it is not one of the list.
  package let scheduler: String?
  /// The parameters of the U-Net.
  package let parameters: Int
  /// Bytes on the disk; `nil` for random weights.
  package let fileBytes: Int?

  package init(
    name: String, family: String, familyTitle: String, size: ImageSize, sideFactor: Int, steps: Int,
    guidanceScale: Double, scheduler: String?, parameters: Int, fileBytes: Int?
  ) {
    self.name = name
    self.family = family
    self.familyTitle = familyTitle
    self.size = size
    self.sideFactor = sideFactor
    self.steps = steps
    self.guidanceScale = guidanceScale
    self.scheduler = scheduler
    self.parameters = parameters
    self.fileBytes = fileBytes
  }

  init(_ model: Model, name: String, fileBytes: Int?) throws {
    let request = SamplingRequest(prompt: "")
    let usual = model.family.sampling
    self.init(
      name: name, family: model.family.name, familyTitle: model.family.title,
      size: model.defaultSize, sideFactor: model.vae.downsamplingFactor,
      steps: usual.steps ?? request.steps, guidanceScale: usual.guidanceScale,
      scheduler: try? model.schedulerKind(for: request).name,
      parameters: model.weights(of: ComponentName.unet).parameterCount, fileBytes: fileBytes)
  }
}

/// Whether an error of a request is about its settings, not about the model.
package func isFaultOfRequest(_ error: any Error) -> Bool {
  error is GenerateError || error is SamplingError || error is SchedulerError
    || error is MemoryError
}

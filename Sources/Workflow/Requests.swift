internal import Calibration
internal import Models
internal import Sampling
package import Support

/// The settings that a calibration and a verification share.
package protocol RunRequest {
  /// A file with one prompt per line, or a JSON array; `nil` is Decant's own list.
  var promptsPath: String? { get set }
  /// The number of prompts to use; `nil` is all.
  var promptLimit: Int? { get set }
  /// Whether the standard ``promptLimit`` applies to a file of prompts too, and not only to
  /// Decant's own list.
  var limitsPromptFiles: Bool { get }
  /// Images per prompt.
  var seeds: Int { get set }
  /// Sets the sampling steps and the sizes of the images. `nil` and no sizes are the standard ones.
  mutating func set(steps: Int?, sizes: [ImageSize])
}

/// The user's settings of a calibration.
package struct CalibrationRequest: RunRequest, Sendable {
  /// What is not set otherwise follows from it.
  package let effort: Effort
  /// A file with one prompt per line, or a JSON array; `nil` is Decant's own list.
  package var promptsPath: String?
  /// The prompts of ``promptsPath``, once they are read.
  private(set) var allPrompts: [Prompt]?
  /// The number of prompts to use, from the start of the list; `nil` is all.
  package var promptLimit: Int?
  package let limitsPromptFiles: Bool
  /// Sampling steps; `nil` follows from the model and ``effort``.
  private var steps: Int?
  package var seeds = 1
  /// Sizes of the images; empty for those that follow from the model and ``effort``.
  private var sizes: [ImageSize] = []
  /// `nil` is the usual one of the model's family.
  package var guidanceScale: Double?
  /// A scheduler's name; `nil` is the model's own.
  package var scheduler: String?
  /// No run begins after this time. `nil` performs all runs.
  package var limit: Duration?
  package var compute = Compute.f32

  /// - Parameter isPart: whether the calibration is part of a longer job, which uses few prompts
  ///   also of a file.
  package init(_ effort: Effort, isPart: Bool = false) {
    self.effort = effort
    promptLimit = effort.prompts
    limitsPromptFiles = isPart
  }

  package mutating func set(steps: Int?, sizes: [ImageSize]) {
    self.steps = steps
    self.sizes = sizes
  }

  /// A sampler's request with these settings, without a size, to check before any weights are read.
  func sampling(of model: Model) -> SamplingRequest {
    var request = SamplingRequest(prompt: "")
    let usual = model.family.sampling
    request.steps = steps ?? usual.steps ?? effort.steps
    request.guidanceScale = guidanceScale ?? usual.guidanceScale
    request.scheduler = scheduler
    return request
  }

  /// The sizes of the images.
  func sizes(of model: Model) -> [ImageSize] {
    if !sizes.isEmpty { return sizes }
    let factor = model.vae.downsamplingFactor
    func multiple(_ side: Int) -> Int { max(1, side / factor) * factor }
    return effort.sizes(native: model.defaultSize).map {
      ImageSize(width: multiple($0.width), height: multiple($0.height))
    }
  }

  /// Checks the request without reading weights.
  ///
  /// - Throws: ``SamplingError`` or ``SchedulerError`` if the model cannot carry it out, or
  ///   ``MemoryError``.
  func check(_ model: Model) throws {
    var request = sampling(of: model)
    for size in sizes(of: model) {
      request.setSize(size)
      try model.check(request)
      try model.checkMemory(for: request, images: 0)
    }
  }

  /// Reads the prompts once, because a pipe cannot be read again.
  mutating func readPrompts() throws { allPrompts = try [Prompt](path: promptsPath) }

  var prompts: [Prompt] {
    get throws {
      let all = try allPrompts ?? [Prompt](path: promptsPath)
      return Array(all.prefix(promptLimit ?? all.count))
    }
  }

  /// The number of calls that a calibration of a model records.
  func callCount(of model: Model) throws -> Int {
    try runs(of: model).recorded.count
      * min(sampling(of: model).steps, CalibrationSettings.standardRecordedSteps)
  }

  /// The runs of a model.
  func runs(of model: Model) throws -> [CalibrationRun] {
    try prompts.runs(seeds: seeds, sizes: sizes(of: model))
  }
}

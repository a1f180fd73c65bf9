internal import ModelSources
package import Support

/// The sampling settings of a calibration, shared by all of its runs.
package struct CalibrationSettings: Sendable, Equatable {
  package var steps: Int
  /// The number of steps of each run whose calls are recorded.
  package var recordedSteps: Int
  /// The scheduler's name: `ddim`.
  package var scheduler: String
  package var guidanceScale: Double
  package var size: ImageSize

  /// Enough steps to see the noise levels of a run.
  package static let standardRecordedSteps = 8

  package init(
    steps: Int, recordedSteps: Int = standardRecordedSteps, scheduler: String,
    guidanceScale: Double, size: ImageSize
  ) {
    self.steps = steps
    self.recordedSteps = recordedSteps
    self.scheduler = scheduler
    self.guidanceScale = guidanceScale
    self.size = size
  }

  package var json: JSONObject {
    [
      "steps": .integer(steps), "recorded_steps": .integer(recordedSteps),
      "scheduler": .string(scheduler), "guidance_scale": .number(guidanceScale),
      "width": .integer(size.width), "height": .integer(size.height),
    ]
  }
}

/// Identifies the weights that a calibration ran.
package struct CalibratedModel: Sendable, Equatable {
  /// The component whose modules were observed: `unet`.
  package var component: String
  /// A digest of the component's weights. Calibrations with different digests do not merge.
  package var digest: String

  package init(component: String = ComponentName.unet, digest: String) {
    self.component = component
    self.digest = digest
  }

  package var json: JSONObject { ["component": .string(component), "digest": .string(digest)] }
}

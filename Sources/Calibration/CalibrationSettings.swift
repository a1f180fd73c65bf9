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
  /// The sizes of the images. The runs take turns with them.
  package var sizes: [ImageSize]

  /// Enough steps to see the noise levels of a run.
  package static let standardRecordedSteps = 8

  package init(
    steps: Int, recordedSteps: Int = standardRecordedSteps, scheduler: String,
    guidanceScale: Double, sizes: [ImageSize]
  ) {
    self.steps = steps
    self.recordedSteps = recordedSteps
    self.scheduler = scheduler
    self.guidanceScale = guidanceScale
    self.sizes = sizes
  }

  package var json: JSONObject {
    [
      "steps": .integer(steps), "recorded_steps": .integer(recordedSteps),
      "scheduler": .string(scheduler), "guidance_scale": .number(guidanceScale),
      "sizes": .array(sizes.map { .integers([$0.width, $0.height]) }),
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

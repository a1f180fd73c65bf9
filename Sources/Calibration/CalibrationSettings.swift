internal import ModelSources
package import Support

/// The sampling settings of a calibration, shared by all of its runs.
package struct CalibrationSettings: Sendable, Equatable {
  package var steps: Int
  /// The scheduler's name: `ddim`.
  package var scheduler: String
  package var guidanceScale: Double
  /// In pixels.
  package var width: Int
  /// In pixels.
  package var height: Int

  package init(
    steps: Int = 20, scheduler: String, guidanceScale: Double = 7.5, width: Int, height: Int
  ) {
    self.steps = steps
    self.scheduler = scheduler
    self.guidanceScale = guidanceScale
    self.width = width
    self.height = height
  }

  package var json: JSONObject {
    [
      "steps": .integer(steps), "scheduler": .string(scheduler),
      "guidance_scale": .number(guidanceScale), "width": .integer(width),
      "height": .integer(height),
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

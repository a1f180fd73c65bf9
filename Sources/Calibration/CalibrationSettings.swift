internal import ModelSources
package import Support

/// How the pictures of a calibration are made, the same for all of its runs.
package struct CalibrationSettings: Sendable, Equatable {
  package var steps: Int
  /// The scheduler's name on the command line.
  package var scheduler: String
  package var guidanceScale: Double
  package var width: Int
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

/// The weights that ran.
package struct CalibratedModel: Sendable, Equatable {
  /// The component whose modules were watched: `unet`.
  package var component: String
  /// What names its weights; files of other digests do not merge.
  package var digest: String

  package init(component: String = ComponentName.unet, digest: String) {
    self.component = component
    self.digest = digest
  }

  package var json: JSONObject { ["component": .string(component), "digest": .string(digest)] }
}

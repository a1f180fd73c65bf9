private import CDistillKit
internal import ModelSources
internal import Models
package import Support
internal import Tensors

/// A folder with all that the distillation of a student takes, and which the kit's training runs in.
package struct DistillationKit: JobOutcome {
  /// A model of the kit.
  package struct Part: Sendable {
    /// Its folder in the kit: `teacher`.
    package let name: String
    /// The path of the model that it was made from.
    package let model: String
    /// The count of the U-Net's parameters.
    package let parameters: Int
    /// Whether the folder is a symbolic link to the model.
    package let isLink: Bool
  }

  package let path: String
  package let teacher: Part
  package let student: Part
  /// The number of captions.
  package let captions: Int
  /// The members of `settings.json`.
  let settings: JSONObject
  let bytes: Int

  /// The path of a file or folder of the kit.
  package func path(_ name: String) -> String { folderPath(path) + "/" + name }

  package var json: JSONValue {
    func part(_ part: Part) -> JSONValue {
      [
        "model": .string(part.model), "folder": .string(path(part.name)),
        "parameters": .integer(part.parameters), "link": .bool(part.isLink),
      ]
    }
    return [
      "output": .string(path), "output_bytes": .integer(bytes), "teacher": part(teacher),
      "student": part(student), "captions": .integer(captions), "settings": .object(settings),
    ]
  }

  package var text: String {
    let rows = [teacher, student].map { part in
      [
        path(part.name), formatted(count: part.parameters),
        (part.isLink ? "link to " : "copy of ") + part.model,
      ]
    }
    return table([["folder", "U-Net parameters", "contents"]] + rows, rightAligned: [1])
      + "\n\(path): \(formatted(bytes: bytes)), \(counted(captions, "caption"))"
  }
}

extension DistillationKit {
  static let teacherName = "teacher"
  static let studentName = "student"
  static let captionsName = "captions.txt"
  static let settingsName = "settings.json"

  /// The files that are the same in every kit.
  static var commonFiles: [(name: String, bytes: [UInt8])] {
    [
      ("distill.py", DECANT_KIT_TRAINING), ("samples.py", DECANT_KIT_SAMPLES),
      ("requirements.txt", DECANT_KIT_REQUIREMENTS), ("README.md", DECANT_KIT_README),
    ].map { name, file in
      let number = Int32(file)
      let count = decant_kit_file_count(number)
      return (name, (0..<count).map { decant_kit_file_byte(number, $0) })
    }
  }

  /// The names of all files and folders that a kit has before its training runs.
  static var names: [String] {
    [teacherName, studentName, captionsName, settingsName] + commonFiles.map(\.name)
  }

  /// Settings of the training for a teacher, by the size of its U-Net.
  ///
  /// Those of models of full size are of BK-SDM (arXiv 2305.15798, section 4.1), but for the samples
  /// that a process evaluates at once, which are an estimate for 24 GB. Those of small ones were measured on a
  /// miniature of 5.5 million parameters.
  static func settings(for teacher: Model) -> JSONObject {
    let parameters = teacher.weights(of: ComponentName.unet).parameterCount
    var settings: JSONObject =
      parameters < smallParameters
      ? [
        "steps": 3000, "batch": 32, "micro_batch": 32, "rate": 1.5e-3, "warm_up": 50,
        "checkpoint_every": 100,
      ]
      : [
        "steps": 50000, "batch": 256, "micro_batch": 8, "rate": 5e-5, "warm_up": 500,
        "checkpoint_every": 500,
      ]
    if parameters >= largeParameters {
      settings["micro_batch"] = 2
      settings["gradient_checkpointing"] = true
    }
    settings["preview_every"] = 500
    settings["guidance_scale"] = .number(teacher.family.sampling.guidanceScale)
    return settings
  }

  /// U-Nets with fewer parameters are miniatures.
  private static let smallParameters = 50_000_000

  /// U-Nets with as many parameters, such as SDXL's, need gradient checkpointing on most GPUs.
  private static let largeParameters = 1_500_000_000
}

package import Support
package import Tensors

/// Why a calibration cannot be read, merged, used or made.
package enum CalibrationError: Error, Equatable, CustomStringConvertible {
  // Reading
  case notCalibration(path: String)
  case version(path: String, found: String)
  case metadata(path: String, member: String, found: String, expected: String)
  case malformedMetadata(path: String, error: JSONError)
  case missingTensor(path: String, tensor: String)
  case unexpectedTensor(path: String, tensor: String)
  case tensor(path: String, tensor: String, found: TensorEntry, expected: String)
  case value(path: String, tensor: String, found: Float)
  case repeatedRun(path: String, run: CalibrationRun)

  // Using
  case incomplete(path: String, runs: Int)
  case otherModules(path: String, missing: [String], unexpected: [String])
  case otherChannels(path: String, module: String, found: Int, expected: Int)

  // Merging
  case nothingToMerge
  case differ(paths: [String], what: String, found: [String])
  case overlap(paths: [String], count: Int, run: CalibrationRun)

  // Running
  case noRuns
  case unfinished(path: String, output: String)
  case otherCalibration(path: String, what: String, found: String, expected: String)
  case otherRun(path: String, run: CalibrationRun)
  case nonfinite(module: String, timestep: Double, run: CalibrationRun)
  case overflow(module: String)
  case unknownModule(String)

  package var description: String {
    switch self {
    case .notCalibration(let path):
      "\(path): the safetensors metadata has no '\(CalibrationFile.metadataKey)', so it is no "
        + "calibration; make one with decant calibrate"
    case .version(let path, let found):
      "\(path): a calibration of version \(found), this program reads version "
        + "\(CalibrationFile.version)"
    case .metadata(let path, let member, let found, let expected):
      "\(path): '\(member)' of the calibration is \(found), expected \(expected)"
    case .malformedMetadata(let path, let error):
      "\(path): the calibration's metadata is not JSON: \(error)"
    case .missingTensor(let path, let tensor):
      "\(path): tensor '\(tensor)' is missing, 'modules' asks for it"
    case .unexpectedTensor(let path, let tensor):
      "\(path): tensor '\(tensor)' belongs to none of 'modules'"
    case .tensor(let path, let tensor, let found, let expected):
      "\(path): tensor '\(tensor)' is \(found.encoding.name) \(found.shape), expected \(expected)"
    case .value(let path, let tensor, let found):
      "\(path): tensor '\(tensor)' holds \(found), magnitudes are finite and not negative"
    case .repeatedRun(let path, let run):
      "\(path): \(run.description) is listed twice in 'runs'"
    case .incomplete(let path, let runs):
      "\(path): the calibration was interrupted after \(Self.counted(runs)); finish it "
        + "with decant calibrate --resume"
    case .otherModules(let path, let missing, let unexpected):
      "\(path): the calibration is of another model: "
        + Self.difference(missing: missing, unexpected: unexpected)
        + "; calibrate this one"
    case .otherChannels(let path, let module, let found, let expected):
      "\(path): the calibration is of another model: '\(module)' has \(found) input channels there "
        + "and \(expected) in the model; calibrate this one"
    case .nothingToMerge:
      "--merge: at least two calibrations are expected"
    case .differ(let paths, let what, let found):
      "\(paths.joined(separator: " and ")) differ in \(what) "
        + "(\(found.joined(separator: " and "))), so they cannot be merged"
    case .overlap(let paths, let count, let run):
      "\(paths.joined(separator: " and ")) have \(Self.counted(count)) in common, as "
        + "\(run.description), so merging would count it twice"
    case .noRuns:
      "there is nothing to calibrate with: no prompts, or no seeds"
    case .unfinished(let path, let output):
      "\(path) is left from an interrupted calibration of \(output): pass --resume to go on with "
        + "it, or --force to begin again"
    case .otherCalibration(let path, let what, let found, let expected):
      "\(path) is of another calibration, \(what) being \(found) there and \(expected) now; pass "
        + "--force to begin again"
    case .otherRun(let path, let run):
      "\(path) holds \(run.description), which this calibration does not ask for; pass --force to "
        + "begin again"
    case .nonfinite(let module, let timestep, let run):
      "the input of '\(module)' is NaN or infinite at timestep \(timestep) of \(run.description); "
        + "the model's weights are damaged, or outgrow float32"
    case .overflow(let module):
      "the sums of '\(module)' outgrow 64 bits"
    case .unknownModule(let module):
      "module '\(module)' ran and is not in the model's list of modules"
    }
  }

  private static func counted(_ runs: Int) -> String { runs == 1 ? "1 run" : "\(runs) runs" }

  private static func difference(missing: [String], unexpected: [String]) -> String {
    func list(_ names: [String]) -> String {
      names.prefix(3).map { "'\($0)'" }.joined(separator: ", ")
        + (names.count > 3 ? " and \(names.count - 3) more" : "")
    }
    var parts: [String] = []
    if !missing.isEmpty { parts.append("it lacks \(list(missing))") }
    if !unexpected.isEmpty { parts.append("the model lacks \(list(unexpected))") }
    if parts.isEmpty { parts.append("its modules come in another order") }
    return parts.joined(separator: ", ")
  }
}

extension CalibrationRun: CustomStringConvertible {
  package var description: String {
    "the run of '\(prompt)'" + (negativePrompt.isEmpty ? "" : " without '\(negativePrompt)'")
      + " with seed \(seed)"
  }
}

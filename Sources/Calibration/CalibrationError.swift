package import Support
package import Tensors

/// A calibration, or a prompt file for one, that cannot be read, merged, used or made.
package enum CalibrationError: RemediableError, Equatable {
  // Reading
  /// Another file. `found` says what it is: `an empty file`.
  case notCalibration(path: String, found: String)
  case version(path: String, found: String)
  /// A member of a calibration or of another document beside it.
  case metadata(path: String, document: String, member: String, found: String, expected: String)
  /// `part` says what is not JSON: `calibration's metadata`.
  case notJSON(path: String, part: String, error: JSONError)
  /// Sensitivities or block scores of more bytes. `noun` is one of these.
  case tooLarge(path: String, limit: Int, noun: String)
  /// Of some calibrations that are merged, the sensitivities or block scores are not there.
  case missingSensitivities(path: String, present: String, noun: String)
  /// Sensitivities that do not belong together.
  case otherSensitivities(paths: [String], fault: String)
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
  case nothingToMerge(count: Int)
  case differ(paths: [String], what: String, found: [String])
  case overlap(paths: [String], count: Int, run: CalibrationRun)

  // Running
  case noRuns
  case unfinished(path: String, output: String)
  /// The partial file is damaged or is another file. `fault` names it.
  case unusablePartial(fault: String)
  case otherCalibration(path: String, what: String, found: String, expected: String)
  case otherRun(path: String, run: CalibrationRun)
  case nonfinite(module: String, timestep: Double, run: CalibrationRun)
  case overflow(module: String)
  case unknownModule(String)

  package var description: String {
    switch self {
    case .notCalibration(let path, let found):
      "\(path): \(found), expected a calibration"
    case .version(let path, let found):
      "\(path): calibration version \(found), expected \(CalibrationFile.version)"
    case .metadata(let path, let document, let member, let found, let expected):
      "\(path): '\(member)' of the \(document) is \(found), expected \(expected)"
    case .notJSON(let path, let part, let error):
      "\(path): the \(part) is not JSON: \(error)"
    case .tooLarge(let path, let limit, let noun):
      "\(path): more than \(formatted(bytes: limit)), expected a file of \(noun)"
    case .missingSensitivities(let path, let present, let noun):
      "\(path) does not exist, but \(present) does; \(noun) are merged with their calibrations"
    case .otherSensitivities(let paths, let fault):
      "\(listed(paths)) cannot be joined: \(fault)"
    case .missingTensor(let path, let tensor):
      "\(path): tensor '\(tensor)' is missing, but the metadata lists its module or call"
    case .unexpectedTensor(let path, let tensor):
      "\(path): tensor '\(tensor)' belongs to no module of 'modules' and no call of 'calls'"
    case .tensor(let path, let tensor, let found, let expected):
      "\(path): tensor '\(tensor)' is \(found.encoding.name) \(found.shape), expected \(expected)"
    case .value(let path, let tensor, let found):
      "\(path): tensor '\(tensor)' holds \(found), expected finite numbers, and magnitudes of at least 0"
    case .repeatedRun(let path, let run):
      "\(path): 'runs' lists \(run.description) twice"
    case .incomplete(let path, let runs):
      "\(path): the calibration is incomplete; it was interrupted after \(counted(runs, "run"))"
    case .otherModules(let path, let missing, let unexpected):
      "\(path): the calibration belongs to another model: "
        + Self.difference(missing: missing, unexpected: unexpected)
    case .otherChannels(let path, let module, let found, let expected):
      "\(path): the calibration belongs to another model: '\(module)' has \(found) input channels "
        + "in the calibration and \(expected) in the model"
    case .nothingToMerge(let count):
      "merging needs at least two calibrations, found \(count)"
    case .differ(let paths, let what, let found):
      "\(paths.joined(separator: " and ")) cannot be merged, because they differ in \(what) "
        + "(\(found.joined(separator: " and ")))"
    case .overlap(let paths, let count, let run):
      "\(paths.joined(separator: " and ")) cannot be merged, because both contain "
        + run.description + (count > 1 ? " and \(count - 1) more" : "")
    case .noRuns:
      "a calibration needs at least one prompt and one seed"
    case .unfinished(let path, let output):
      "\(path) already exists, left by an interrupted calibration of \(output)"
    case .unusablePartial(let fault):
      "\(fault); the interrupted calibration cannot be continued"
    case .otherCalibration(let path, let what, let found, let expected):
      "\(path) belongs to another calibration, with \(what) \(found) instead of \(expected)"
    case .otherRun(let path, let run):
      "\(path) contains \(run.description), which this calibration does not include"
    case .nonfinite(let module, let timestep, let run):
      "the input of '\(module)' is NaN or infinite at timestep \(timestep) of \(run.description); "
        + "the weights are damaged or overflow float32"
    case .overflow(let module):
      "the sums of '\(module)' exceed 64 bits"
    case .unknownModule(let module):
      "module '\(module)' ran and is not in the model's list of modules"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .notCalibration: .act("name the file that a calibration wrote")
    case .otherModules, .otherChannels: .recalibrate
    case .version: .recalibrate
    case .incomplete: .act("finish the calibration first")
    case .overlap: .act("merge calibrations of different prompts or seeds")
    case .unfinished:
      .either([
        .choose(.resume, purpose: "to continue it"), .choose(.replace, purpose: "to start again"),
      ])
    case .unusablePartial, .otherCalibration, .otherRun:
      .choose(.replace, purpose: "to start again")
    // Files of sensitivities and scores, which can be measured again.
    case .tooLarge: Self.measureAgain
    case .notJSON(_, let part, _) where part.hasPrefix("file of "): Self.measureAgain
    case .metadata(_, let document, _, _, _) where document != MemberReader.calibration:
      Self.measureAgain
    default: nil
    }
  }

  private static let measureAgain = Remedy.act(
    "mend the file, or delete it so that it is measured again")

  private static func difference(missing: [String], unexpected: [String]) -> String {
    func list(_ names: [String]) -> String {
      names.prefix(3).map { "'\($0)'" }.joined(separator: ", ")
        + (names.count > 3 ? " and \(names.count - 3) more" : "")
    }
    var parts: [String] = []
    if !missing.isEmpty { parts.append("it lacks \(list(missing))") }
    if !unexpected.isEmpty { parts.append("the model lacks \(list(unexpected))") }
    if parts.isEmpty { parts.append("its modules have another order") }
    return parts.joined(separator: "; ")
  }
}

extension CalibrationRun: CustomStringConvertible {
  package var description: String {
    "the run of '\(prompt)' with "
      + (negativePrompt.isEmpty ? "" : "negative prompt '\(negativePrompt)' and ") + "seed \(seed)"
  }
}

private import Calibration
private import Checkpoints
private import ModelSources
internal import Support

/// What the file or folder at `path` is, for a message about one of the wrong kind: `a GGUF file
/// that holds 3 tensors (…)`, `an empty file`; `nil` when nothing is there.
func contents(of path: String) -> String? {
  do {
    let reader = try Layouts.readers.reader(for: path)
    guard let archive = try? Archives.open(path) else {
      let bytes = isFolder(path) ? nil : try? ByteSlice.mapping(path)
      return bytes.flatMap(knownFileKind) ?? "a \(reader.layout)"
    }
    return "a \(archive.kind) that holds \(TensorSurvey(archive.weights).contents)"
  } catch {
    guard case .notRecognized(_, let found, _) = error else { return nil }
    return found
  }
}

/// Whether the file at `path` is a calibration, damaged or not.
func isCalibration(_ path: String) -> Bool {
  (try? Archives.open(path))?.metadata[CalibrationFile.metadataKey] != nil
}

/// The names of a file's tensors, for a message: those of a few, else their number and the first.
func shortlist(_ names: [String]) -> String {
  guard names.count > 4, let first = names.first else { return listed(names) }
  return "\(names.count) tensors, such as '\(shown(first))'"
}

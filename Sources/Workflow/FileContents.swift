private import Checkpoints
private import ModelSources
internal import Support

/// What the file or folder at `path` is, for a message about one of the wrong kind: `a GGUF file
/// that holds 3 tensors (…)`, `an empty file`; `nil` when nothing is there.
func contents(of path: String) -> String? {
  do {
    let reader = try Layouts.readers.reader(for: path)
    guard let archive = try? Archives.open(path) else { return "a \(reader.layout)" }
    let survey = TensorSurvey(archive.weights)
    return "a \(archive.kind) that holds \(survey.contents)"
  } catch {
    guard case .notRecognized(_, let found, _) = error else { return nil }
    guard !isFolder(path), let head = try? ByteSlice.mapping(path) else { return found }
    return signatures.first { head.starts(with: $0.bytes) }?.kind
      ?? (head.isText ? "a text file" : found)
  }
}

/// The first bytes of files that users confuse with others.
private let signatures: [(kind: String, bytes: [UInt8])] = [
  ("a PNG image", [0x89, 0x50, 0x4e, 0x47]), ("a JPEG image", [0xff, 0xd8, 0xff]),
]

extension ByteSlice {
  fileprivate func starts(with bytes: [UInt8]) -> Bool {
    count >= bytes.count && self[0..<bytes.count].array == bytes
  }

  /// Whether the slice begins with printable ASCII.
  fileprivate var isText: Bool {
    count > 0
      && self[0..<min(count, 64)].array.allSatisfy {
        (0x20..<0x7f).contains($0) || [9, 10, 13].contains($0)
      }
  }
}

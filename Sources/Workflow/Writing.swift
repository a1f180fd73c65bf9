private import Checkpoints
private import Foundation
internal import Tensors

/// Where a model goes.
package struct OutputRequest: Sendable {
  package var path: String
  /// The writer's name (`decant`, `diffusers`), or `nil` for what the path's name says.
  package var kind: String?
  package var replacing: Bool

  package init(path: String, kind: String? = nil, replacing: Bool = false) {
    self.path = path
    self.kind = kind
    self.replacing = replacing
  }

  /// The writer for this output; refuses, before anything is computed, what could only fail in the
  /// end.
  func writer(besides inputs: [String]) throws -> any ModelWriter {
    let writer = try Layouts.writers.writer(for: path, named: kind)
    try refuseOverwriting(path, replacing: replacing, inputs: inputs)
    return writer
  }

  /// Writes the model whole or not at all.
  func write(_ model: ModelSource, by writer: any ModelWriter, _ events: EventSink) throws {
    events(.stage("writing \(path)"))
    try writer.write(model, to: path, replacing: replacing) { done, total in
      events(.progress(done: done, total: total))
    }
  }

  /// Bytes that the output takes on the disk.
  var byteCount: Int { bytesOnDisk(path) }
}

/// Refuses an output that is one of the inputs, lies inside one, or stands already.
func refuseOverwriting(_ path: String, replacing: Bool, inputs: [String]) throws {
  let output = resolved(path)
  for input in inputs where output == resolved(input) || output.hasPrefix(resolved(input) + "/") {
    throw JobError(
      "\(path): the output is the input \(input) or lies in it, and an input is never written to; "
        + "give another name with -o")
  }
  if !replacing, FileManager.default.fileExists(atPath: path) {
    throw FileError(.exists, path)
  }
  let parent = (output as NSString).deletingLastPathComponent
  guard isFolder(parent) else {
    throw JobError("\(path): the folder \(parent) to write to does not exist; make it first")
  }
}

private func isFolder(_ path: String) -> Bool {
  let attributes = try? FileManager.default.attributesOfItem(
    atPath: URL(fileURLWithPath: path).resolvingSymlinksInPath().path)
  return attributes?[.type] as? FileAttributeType == .typeDirectory
}

/// The path without links, `.` and `..`, whether or not something stands there.
private func resolved(_ path: String) -> String {
  let url = URL(fileURLWithPath: path).standardizedFileURL
  let parent = url.deletingLastPathComponent().resolvingSymlinksInPath()
  return parent.appendingPathComponent(url.lastPathComponent).resolvingSymlinksInPath().path
}

/// Bytes of a file, or of all files in a folder.
func bytesOnDisk(_ path: String) -> Int {
  func size(_ path: String) -> Int {
    let attributes = try? FileManager.default.attributesOfItem(
      atPath: URL(fileURLWithPath: path).resolvingSymlinksInPath().path)
    return (attributes?[.size] as? Int) ?? 0
  }
  guard isFolder(path) else { return size(path) }
  let names = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
  return names.map { path + "/" + $0 }.filter { !isFolder($0) }.reduce(0) { $0 + size($1) }
}

private import Checkpoints
private import Foundation
internal import ModelSources
internal import Quantization
internal import Support
internal import Tensors
private import Verification

/// The file or folder that a job writes a model to, and how.
package struct OutputRequest: Sendable {
  package var path: String
  package var layout: LayoutRequest
  /// Whether an existing file or folder at ``path`` may be replaced.
  package var replacing: Bool

  var options: WriteOptions { layout.options }

  package init(path: String, layout: LayoutRequest, replacing: Bool = false) {
    self.path = path
    self.layout = layout
    self.replacing = replacing
  }

  /// The writer for this output. Refuses everything about the output that can be known without a
  /// model.
  ///
  /// - Throws: ``JobError``, ``LayoutError``, ``FileError`` for an output that exists, or the
  ///   writer's error for a path or options that it does not accept.
  func writer(besides inputs: [String]) throws -> any ModelWriter {
    let writer = try Layouts.writers.writer(for: path, named: layout.kind)
    try refuseOverwriting(path, replacing: replacing, inputs: inputs, nature: .either) {
      try writer.check(path, options: options)
    }
    try layout.check(writer, output: path)
    try writer.check(path, options: options)
    return writer
  }

  /// The plan of a component with the encodings that the output can hold.
  func fitting(
    _ plan: QuantizationPlan, of component: String, in model: ModelSource,
    by writer: any ModelWriter, rest: any Scheme
  ) throws -> QuantizationPlan {
    try layout.fitting(plan, of: component, in: model, by: writer, rest: rest, output: path)
  }

  /// Refuses a model with quantized weights that the output cannot hold. Jobs call it before any
  /// long computation.
  ///
  /// - Parameter offersTypes: whether the job can store the weights as plain numbers instead.
  func checkEncodings(
    _ model: ModelSource, by writer: any ModelWriter, offersTypes: Bool
  ) throws {
    try layout.checkEncodings(model, by: writer, offersTypes: offersTypes, output: path)
  }

  /// Refuses a model that the output's program cannot load. Jobs call it before any long
  /// computation.
  func checkLoadable(_ model: ModelSource, by writer: any ModelWriter) throws {
    try writer.checkLoadable(model, to: path, options: options)
  }

  /// Writes the model completely or not at all.
  ///
  /// - Parameter staged: the place of the output in ``StagedOutputs``, which gives it its name later.
  func write(
    _ model: ModelSource, by writer: any ModelWriter, to staged: String? = nil, _ events: EventSink
  ) throws {
    try checkFreeSpace(for: model, by: writer)
    // A folder that exists stands for its own layout, whatever its name.
    let notes = layout.notes(on: path, by: writer)
    events(.stage(.writing(path)))
    try withHeapKeptSmall {
      try writer.write(
        model, to: staged ?? path, replacing: staged == nil && replacing, options: options
      ) { done, total in
        events(.progress(done: done, total: total))
      }
    }
    for note in try notes + writer.profile(options).notes(model) { events(.note(note)) }
  }

  /// Writes the model completely as a staged output.
  ///
  /// - Returns: the place of the output until it is committed.
  func stage(
    _ model: ModelSource, by writer: any ModelWriter, in staged: StagedOutputs, _ events: EventSink
  ) throws -> String {
    try staged.write(path) { try write(model, by: writer, to: $0, events) }
  }

  /// Bytes that the output takes on disk.
  var byteCount: Int { bytesOnDisk(path) }
}

/// The kind of an output, which decides what it may replace.
enum OutputNature {
  case file
  case folder
  /// A model: a file or a folder, depending on its layout.
  case either
}

/// Refuses an output that is an input, is inside an input, contains one, exists already, or cannot be
/// written under its name.
///
/// - Parameter refuseEvenReplacing: called for an existing output before the check of `replacing`,
///   to refuse what is never replaced.
/// - Throws: ``JobError``, ``FileError`` for an output that exists, or an error of
///   `refuseEvenReplacing`.
func refuseOverwriting(
  _ path: String, replacing: Bool, inputs: [String], nature: OutputNature = .file,
  refuseEvenReplacing: () throws -> Void = {}
) throws {
  if path.isEmpty { throw JobError("the output has an empty name", remedy: .renameOutput) }
  try checkOutputName(path)
  let output = resolved(path)
  for input in inputs where output == resolved(input) || output.hasPrefix(resolved(input) + "/") {
    throw JobError(
      "\(path): the output is the input \(input) or is inside it; inputs are never changed",
      remedy: .renameOutput)
  }
  let parent = PathParts(output).folder
  // A name that ends in a slash is that of a folder.
  if let file = obstacle(to: nature == .file && path.hasSuffix("/") ? output : parent) {
    throw JobError("\(path): \(file) is a file, expected a folder", remedy: .renameOutput)
  }
  if nature == .file, isFolder(path) || path.hasSuffix("/") {
    throw JobError("\(path): is a folder, expected a file", remedy: .act("name a file in it"))
  }
  if nature == .folder, FileManager.default.fileExists(atPath: output), !isFolder(output) {
    throw JobError("\(path): is a file, expected a folder", remedy: .renameOutput)
  }
  for input in inputs where resolved(input).hasPrefix(output == "/" ? output : output + "/") {
    throw JobError(
      "\(path): the output would replace the folder that holds the input \(input)",
      remedy: .renameOutput)
  }
  if FileManager.default.fileExists(atPath: output) {
    try refuseEvenReplacing()
    if !replacing { throw FileError(.exists, path) }
  }
  guard isFolder(parent) else {
    throw JobError(
      "\(path): the folder \(parent) does not exist", remedy: .act("create it first"))
  }
  guard isWritable(parent) else {
    throw JobError(
      "\(path): the folder \(parent) is not writable", remedy: .act("choose another folder"))
  }
}

/// The first existing path among `path` and its parents, where it is not a folder.
private func obstacle(to path: String) -> String? {
  var place = path
  while !place.isEmpty, !FileManager.default.fileExists(atPath: place) {
    place = PathParts(place).folder
  }
  return place.isEmpty || isFolder(place) ? nil : place
}

/// Refuses outputs with the same path.
func refuseSameOutputs(_ paths: [String]) throws {
  var seen: Set<String> = []
  for path in paths where !seen.insert(resolved(path)).inserted {
    throw JobError(
      "\(path): two outputs have this name", remedy: .act("give each its own name"))
  }
}

/// Refuses to write a report over a folder that holds other files.
func refuseReport(_ path: String, replacing: Bool, inputs: [String]) throws {
  try refuseFolder(
    path, of: "report", names: VerificationReport.fileNames, replacing: replacing, inputs: inputs)
}

/// Refuses to write a folder of one kind over a folder that holds other files.
///
/// - Parameters:
///   - kind: what messages call the folder: `report`.
///   - names: what a folder of the kind holds.
func refuseFolder(
  _ path: String, of kind: String, names: some Sequence<String>, replacing: Bool, inputs: [String]
) throws {
  try refuseOverwriting(path, replacing: replacing, inputs: inputs, nature: .folder) {
    let found = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    if let other = Set(found).subtracting(names).min() {
      throw JobError(
        "\(path): the folder holds '\(shown(other))', which does not belong to a \(kind); only a "
          + "\(kind) is replaced", remedy: .renameOutput)
    }
  }
}

/// The path without symbolic links, `.` and `..`, whether or not it exists.
private func resolved(_ path: String) -> String {
  let url = URL(fileURLWithPath: path).standardizedFileURL
  let parent = url.deletingLastPathComponent().resolvingSymlinksInPath()
  return parent.appendingPathComponent(url.lastPathComponent).resolvingSymlinksInPath().path
}

/// The bytes of a file, or of all files in a folder.
func bytesOnDisk(_ path: String) -> Int {
  guard isFolder(path) else { return fileBytes(path) }
  let path = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
  let names = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
  return names.map { path + "/" + $0 }.filter { !isFolder($0) }.reduce(0) { $0 + fileBytes($1) }
}

/// The bytes of the files that a model was read from. Its folder may hold other weights.
func bytesOnDisk(of model: ModelSource) -> Int {
  model.inputFiles.isEmpty
    ? bytesOnDisk(model.location) : model.inputFiles.reduce(0) { $0 + fileBytes($1) }
}

private func fileBytes(_ path: String) -> Int {
  let attributes = try? FileManager.default.attributesOfItem(
    atPath: URL(fileURLWithPath: path).resolvingSymlinksInPath().path)
  return (attributes?[.size] as? Int) ?? 0
}

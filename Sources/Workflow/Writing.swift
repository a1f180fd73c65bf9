private import Checkpoints
private import Foundation
internal import ModelSources
internal import Quantization
internal import Support
internal import Tensors
private import Verification

/// Where a model goes.
package struct OutputRequest: Sendable {
  package var path: String
  /// The writer's name (`decant`, `diffusers`), or `nil` for what the path's name says.
  package var kind: String?
  package var replacing: Bool
  /// What the layout leaves to the user.
  var options: WriteOptions

  /// - Parameters:
  ///   - variant: the variant that weights of a diffusers folder are named after.
  ///   - maxShardSize: bytes that no file of weights shall exceed.
  ///   - program: the program that shall read the output.
  ///   - numbering: how a single file numbers blocks: `dense` or `gap`.
  ///   - codes: whether a `.decant` file's numbers are coded without loss; `nil` is yes.
  package init(
    path: String, kind: String? = nil, replacing: Bool = false, variant: String? = nil,
    maxShardSize: Int? = nil, program: String? = nil, numbering: String? = nil,
    codes: Bool? = nil
  ) {
    self.path = path
    self.kind = kind
    self.replacing = replacing
    options = WriteOptions(
      variant: variant, maxShardSize: maxShardSize, program: program, numbering: numbering,
      codes: codes)
  }

  /// The writer for this output; refuses, before anything is computed, what could only fail in the
  /// end.
  func writer(besides inputs: [String]) throws -> any ModelWriter {
    let writer = try Layouts.writers.writer(for: path, named: kind)
    try refuseOverwriting(path, replacing: replacing, inputs: inputs, nature: .either) {
      try writer.check(path, options: options)
    }
    for option in options.chosen where !writer.choices.contains(option) {
      let others = Layouts.writers.filter { $0.choices.contains(option) }.map(\.layout)
      throw JobError(
        "--\(option.rawValue): \(path) is to be a \(writer.layout), which has no such choice; "
          + "it goes with \(listed(others))")
    }
    if let program = options.program, !writer.programs.contains(program) {
      throw JobError(
        "--for \(program): no \(writer.layout) is written for that program; known are "
          + listed(writer.programs))
    }
    try writer.check(path, options: options)
    return writer
  }

  /// The plan as this output can hold it.
  func fitting(
    _ plan: QuantizationPlan, by writer: any ModelWriter, rest: any Scheme
  ) throws -> QuantizationPlan {
    let reader = options.program.map { " for \($0)" } ?? ""
    do {
      return try plan.fitting(
        writer, options: options, component: ComponentName.unet, rest: rest,
        reason: "a \(writer.layout)\(reader) holds it as plain numbers")
    } catch {
      let programs = writer.programs.filter { program in
        (try? plan.fitting(
          writer, options: WriteOptions(program: program), component: ComponentName.unet,
          rest: rest,
          reason: "")) != nil
      }
      throw JobError(
        "\(path): \(error)\(reader); write NAME.decant, or use --type f16"
          + (programs.isEmpty ? "" : ", or say --for \(programs.joined(separator: " or --for "))"))
    }
  }

  /// Writes the model whole or not at all.
  func write(_ model: ModelSource, by writer: any ModelWriter, _ events: EventSink) throws {
    events(.stage("writing \(path)"))
    try withHeapKeptSmall {
      try writer.write(model, to: path, replacing: replacing, options: options) { done, total in
        events(.progress(done: done, total: total))
      }
    }
  }

  /// Bytes that the output takes on the disk.
  var byteCount: Int { bytesOnDisk(path) }
}

/// Names of the layouts that models are written in.
package let writerNames = Layouts.writers.map(\.name)

/// Names of the programs that models can be written for.
package let programNames = Layouts.writers.flatMap(\.programs)

/// What an output is, and so what it may take the place of.
enum OutputNature {
  case file
  case folder
  /// A model: its writer says which.
  case either
}

/// Refuses an output that is one of the inputs, lies inside one or holds one, or stands already.
///
/// - Parameter refuseEvenReplacing: called with an output that stands: what is not replaced with
///   --force either is refused as that, so that nobody is told to pass it.
func refuseOverwriting(
  _ path: String, replacing: Bool, inputs: [String], nature: OutputNature = .file,
  refuseEvenReplacing: () throws -> Void = {}
) throws {
  if path.isEmpty { throw JobError("the output has an empty name; give one with -o") }
  let output = resolved(path)
  for input in inputs where output == resolved(input) || output.hasPrefix(resolved(input) + "/") {
    throw JobError(
      "\(path): the output is the input \(input) or lies in it, and an input is never written to; "
        + "give another name")
  }
  let parent = PathParts(output).folder
  // A name that ends in a slash is one of a folder, which a file cannot be.
  if let file = obstacle(to: nature == .file && path.hasSuffix("/") ? output : parent) {
    throw JobError(
      "\(path): \(file) is a file, where a folder to write to is expected; give another name")
  }
  if nature == .file, isFolder(path) || path.hasSuffix("/") {
    throw JobError("\(path): a file is to be written, and this is a folder; name a file in it")
  }
  if nature == .folder, FileManager.default.fileExists(atPath: output), !isFolder(output) {
    throw JobError("\(path): a folder is to be written, and this is a file; give another name")
  }
  for input in inputs where resolved(input).hasPrefix(output == "/" ? output : output + "/") {
    throw JobError(
      "\(path): the output would take the place of the folder that holds the input \(input); "
        + "give another name")
  }
  if FileManager.default.fileExists(atPath: output) {
    try refuseEvenReplacing()
    if !replacing { throw FileError(.exists, path) }
  }
  guard isFolder(parent) else {
    throw JobError("\(path): the folder \(parent) to write to does not exist; make it first")
  }
  guard isWritable(parent) else {
    throw JobError("\(path): the folder \(parent) cannot be written to; choose another one")
  }
}

/// What stands in the way of a folder at `path`: it, or one that it would lie in, is no folder.
private func obstacle(to path: String) -> String? {
  var place = path
  while !place.isEmpty, !FileManager.default.fileExists(atPath: place) {
    place = PathParts(place).folder
  }
  return place.isEmpty || isFolder(place) ? nil : place
}

/// Refuses outputs that would replace one another.
func refuseSameOutputs(_ paths: [String]) throws {
  var seen: Set<String> = []
  for path in paths where !seen.insert(resolved(path)).inserted {
    throw JobError("\(path): two outputs have this name; give each its own")
  }
}

/// Refuses to put a report where something stands that is none, which --force would cost.
func refuseReport(_ path: String, replacing: Bool, inputs: [String]) throws {
  try refuseOverwriting(path, replacing: replacing, inputs: inputs, nature: .folder) {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    let others = Set(names).subtracting(VerificationReport.fileNames).sorted()
    if let other = others.first {
      throw JobError(
        "\(path): the folder holds what is no report (\(other)), and is not replaced even with "
          + "--force; give another name")
    }
  }
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
  let path = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
  let names = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
  return names.map { path + "/" + $0 }.filter { !isFolder($0) }.reduce(0) { $0 + size($1) }
}

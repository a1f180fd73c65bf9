private import Foundation
package import ModelSources
package import Support

/// Why a model cannot be written as a diffusers folder.
package enum DiffusersWriteError: Error, Equatable, CustomStringConvertible {
  case unknownComponent(path: String, component: String)
  /// A variant that no reader would tell from the rest of a file's name.
  case unusableVariant(path: String, variant: String)
  /// A limit that leaves no room for numbers.
  case shardTooSmall(path: String, bytes: Int)
  /// A file of the model whose path leads elsewhere, or to a file that the writer makes.
  case unsafePath(path: String, file: String)
  /// Something stands at the place that is no model, and would be lost.
  case notReplaceable(path: String, found: String)

  package var description: String {
    switch self {
    case .unknownComponent(let path, let component):
      "\(path): component '\(shown(component))' has no place in a diffusers folder, known are "
        + listed(DiffusersLayout.components.map(\.name))
    case .unusableVariant(let path, let variant):
      "\(path): '\(shown(variant))' cannot name a variant; letters, digits, '_' and '-' can, as in "
        + "fp16"
    case .shardTooSmall(let path, let bytes):
      "\(path): files of at most \(bytes) bytes cannot hold weights; give a larger size"
    case .unsafePath(let path, let file):
      "\(path): the model's file '\(shown(file))' has no place in a diffusers folder"
    case .notReplaceable(let path, let found):
      "\(path) is \(found), which is not replaced even with --force; choose another name or remove it"
    }
  }
}

/// Writes a folder that diffusers loads with `from_pretrained`.
///
/// The index lists exactly what is there: diffusers refuses a folder whose index lists what it
/// lacks, so parts that are not written are listed as null.
package struct DiffusersFolderWriter: ModelWriter {
  package init() {}

  package var name: String { "diffusers" }
  package var layout: String { DiffusersLayout.name }

  package var profiles: [any OutputProfile] { OutputProfiles.of(name) }
  package var settings: Set<Setting> { [.outputVariant, .maximumShardSize] }

  /// Names that end in `/` or have no extension, and folders that stand.
  package func claims(_ path: String) -> Bool {
    path.hasSuffix("/") || PathParts(path).stemAndExtension.extension.isEmpty || isFolder(path)
  }

  /// - Throws: ``DiffusersWriteError``, ``SafetensorsWriteError``, ``FileError``, what the
  ///   weights' source throws, and `CancellationError`.
  package func write(
    _ model: ModelSource, to path: String, replacing: Bool = false,
    options: WriteOptions = WriteOptions(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    try check(path, options: options)
    try checkLoadable(model, to: path, options: options)
    let model = try profile(options).prepared(model)
    var weights: [(file: String, plan: SafetensorsPlan)] = []
    var texts: [(file: String, bytes: ByteSlice)] = [
      (DiffusersLayout.indexFile, Self.text(Self.index(of: model)))
    ]
    for component in model.components {
      guard let kind = DiffusersLayout.components.first(where: { $0.name == component.name }) else {
        throw DiffusersWriteError.unknownComponent(path: path, component: component.name)
      }
      let shards = DiffusersShards(
        component.weights, stem: kind.stem, variant: options.variant, limit: options.maxShardSize)
      for (name, source) in shards.files {
        let file = "\(component.name)/\(name)"
        weights.append(
          (file, try SafetensorsPlan([source], metadata: [:], path: path + "/" + file)))
      }
      if let index = shards.index {
        texts.append(("\(component.name)/\(index.file)", Self.text(index.contents)))
      }
    }
    for component in model.components {
      texts.append(
        ("\(component.name)/\(DiffusersLayout.configFile)", Self.text(component.config)))
    }
    if let scheduler = model.scheduler {
      texts.append((DiffusersLayout.schedulerFile, Self.text(scheduler)))
    }
    var taken = Set(texts.map(\.file) + weights.map(\.file))
    for file in model.files {
      guard Self.isSafe(file.path), taken.insert(file.path).inserted else {
        throw DiffusersWriteError.unsafePath(path: path, file: file.path)
      }
      texts.append((file.path, file.bytes))
    }

    let folder = try ReplacingFolder(path: path, replacing: replacing)
    for (name, bytes) in texts {
      let file = try folder.file(name)
      try file.write(bytes)
      try file.commit()
    }
    let total = weights.reduce(0) { $0 + $1.plan.byteCount }
    var done = 0
    for (name, plan) in weights {
      let file = try folder.file(name)
      try plan.write(to: file) { written, _ in progress(done + written, total) }
      try file.commit()
      done += plan.byteCount
    }
    // What transforms did is known now that every tensor was asked for. A reader's own notes, with
    // no step of Decant's in them, are of no use to the next reader.
    let provenance = try model.completedProvenance()
    if provenance["steps"] != nil {
      let file = try folder.file(DiffusersLayout.provenanceFile)
      try file.write(Self.text(provenance))
      try file.commit()
    }
    try Task.checkCancellation()
    try folder.commit()
  }

  private static func text(_ object: JSONObject) -> ByteSlice {
    ByteSlice([UInt8]((JSONValue.object(object).text(indent: 2) + "\n").utf8))
  }

  /// A path within the folder, in folders of its own, that leads nowhere else.
  private static func isSafe(_ path: String) -> Bool {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count >= 2
      && parts.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && !$0.utf8.contains(0) }
  }

  package func check(_ path: String, options: WriteOptions) throws {
    try Self.checkReplaceable(path)
    if let variant = options.variant, !DiffusersWeights.isVariant(variant[...]) {
      throw DiffusersWriteError.unusableVariant(path: path, variant: variant)
    }
    if let size = options.maxShardSize, size < 1 {
      throw DiffusersWriteError.shardTooSmall(path: path, bytes: size)
    }
  }

  /// A wrong name after `-o` with `--force` must not cost a folder that is no model.
  private static func checkReplaceable(_ path: String) throws(DiffusersWriteError) {
    // The system finds no file under a name that ends in a slash, where the folder would go.
    let parts = PathParts(path)
    guard FileManager.default.fileExists(atPath: parts.sibling(parts.name)) else { return }
    guard isFolder(path) else { throw .notReplaceable(path: path, found: "a file") }
    let files = folderContents(path)
    if !files.isEmpty, !files.contains(DiffusersLayout.indexFile) {
      throw .notReplaceable(path: path, found: "a folder without model_index.json")
    }
    // A checkout of a model may hold checkpoints of gigabytes, a licence, pictures: none of it is ours.
    if let stranger = Self.stranger(in: path, files) {
      throw .notReplaceable(path: path, found: "a folder that also holds '\(shown(stranger))'")
    }
  }

  /// A file of the folder that no layout of diffusers has; folders one level down are looked into.
  private static func stranger(in path: String, _ names: [String]) -> String? {
    let parts = DiffusersLayout.components.map(\.name) + DiffusersLayout.absentParts
    let folders = parts + ComponentName.tokenizers + [DiffusersLayout.scheduler]
    for name in names
    where name != DiffusersLayout.indexFile && name != DiffusersLayout.provenanceFile {
      guard folders.contains(name), isFolder(path + "/" + name) else { return name }
      for file in folderContents(path + "/" + name) {
        let isKnown =
          ComponentName.tokenizers.contains(name)
          ? DiffusersLayout.tokenizerFiles.contains(file)
          : DiffusersLayout.weightStems.contains { file.hasPrefix($0) }
            || file.hasSuffix("config.json")
        if !isKnown { return "\(name)/\(file)" }
      }
    }
    return nil
  }

  /// The index of what is written: members of the old one that are no components stay, and
  /// everything is sorted by name, as diffusers sorts it.
  static func index(of model: ModelSource) -> JSONObject {
    var members: [String: JSONValue] = [:]
    for (name, value) in model.index.members {
      members[name] = value.array == nil ? value : [nil, nil]
    }
    // Members of a pipeline are its own: one that says what it is keeps those that it has.
    if members["_class_name"] == nil {
      members["_class_name"] = "StableDiffusionPipeline"
      for name in DiffusersLayout.absentParts { members[name] = [nil, nil] }
      members[DiffusersLayout.safetyMember] = false
    }
    if members[DiffusersLayout.safetyMember] != nil {
      members[DiffusersLayout.safetyMember] = false
    }

    for kind in DiffusersLayout.components {
      guard let component = model[kind.name] else { continue }
      members[kind.name] = [.string(kind.library), .string(component.className)]
    }
    if let scheduler = model.scheduler {
      let name = DiffusersLayout.scheduler
      let className = model.index[name]?.array?.last?.string ?? scheduler["_class_name"]?.string
      members[name] = ["diffusers", .string(className ?? "PNDMScheduler")]
    }
    for name in ComponentName.tokenizers
    where model.files.contains(where: { $0.path.hasPrefix(name + "/") }) {
      let className = model.index[name]?.array?.last?.string
      members[name] = ["transformers", .string(className ?? "CLIPTokenizer")]
    }
    return JSONObject(members.sorted { $0.key < $1.key })
  }
}

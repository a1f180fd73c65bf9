private import Foundation
package import ModelSources
package import Support

/// Why a model cannot be written as a diffusers folder.
package enum DiffusersWriteError: RemediableError, Equatable {
  case unknownComponent(path: String, component: String)
  /// A variant that a file name cannot hold.
  case unusableVariant(path: String, variant: String)
  /// A shard size below one byte.
  case shardTooSmall(path: String, bytes: Int)
  /// A file of the model with a path outside the folder, or of a file that the writer creates.
  case unsafePath(path: String, file: String)
  /// A file or folder exists at the path that is not a model.
  case notReplaceable(path: String, found: String)

  package var description: String {
    switch self {
    case .unknownComponent(let path, let component):
      "\(path): component '\(shown(component))' does not belong in a diffusers folder; expected "
        + listed(DiffusersLayout.components.map(\.name))
    case .unusableVariant(let path, let variant):
      "\(path): variant '\(shown(variant))' is invalid; expected letters, digits, '_' and '-', as in "
        + "fp16"
    case .shardTooSmall(let path, let bytes):
      "\(path): files of at most \(bytes) bytes cannot hold weights"
    case .unsafePath(let path, let file):
      "\(path): the model's file '\(shown(file))' does not belong in a diffusers folder"
    case .notReplaceable(let path, let found):
      "\(path) is \(found); only a diffusers folder is replaced"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .shardTooSmall: .adjust(.maximumShardSize, .larger)
    case .notReplaceable: .either([.renameOutput, .act("remove it")])
    default: nil
    }
  }
}

/// Writes a folder that diffusers loads with `from_pretrained`.
///
/// diffusers refuses a folder without a component that its index lists, so the index lists missing
/// components as null.
package struct DiffusersFolderWriter: ModelWriter {
  package init() {}

  package var name: String { "diffusers" }
  package var layout: String { DiffusersLayout.name }

  package var profiles: [any OutputProfile] { OutputProfiles.of(name) }
  package var settings: Set<Setting> { [.outputVariant, .maximumShardSize] }

  /// Names that end in `/`, names without an extension, and existing folders.
  package func claims(_ path: String) -> Bool {
    path.hasSuffix("/") || PathParts(path).stemAndExtension.extension.isEmpty || isFolder(path)
  }

  package func outputName(stem: String) -> String { stem + "/" }

  /// - Throws: ``DiffusersWriteError``, ``SafetensorsWriteError``, ``FileError``, errors of the
  ///   weights' source, and `CancellationError`.
  package func write(
    _ model: ModelSource, to path: String, replacing: Bool = false,
    options: WriteOptions = WriteOptions(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws {
    try check(path, options: options)
    try checkLoadable(model, to: path, options: options)
    let model = try profile(options).fitted(model)
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
    // The provenance is complete after the last tensor was read. Without a step of Decant's it
    // holds only the reader's notes, which are not stored.
    let provenance = try model.completedProvenance()
    if provenance[ModelSource.stepsFact] != nil, provenance["source"]?.object != nil {
      let file = try folder.file(DiffusersLayout.provenanceFile)
      try file.write(Self.text(provenance))
      try file.commit()
    }
    try Cancellation.check()
    try folder.commit()
  }

  private static func text(_ object: JSONObject) -> ByteSlice {
    ByteSlice([UInt8]((JSONValue.object(object).text(indent: 2) + "\n").utf8))
  }

  /// Whether the path is that of a file in a subfolder, without `.` and `..`.
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

  /// Refuses to replace a file or folder that is not a diffusers folder, so that a mistyped path
  /// deletes nothing else.
  private static func checkReplaceable(_ path: String) throws(DiffusersWriteError) {
    // With a slash at the end, the system would not find a file of that name.
    let parts = PathParts(path)
    guard FileManager.default.fileExists(atPath: parts.sibling(parts.name)) else { return }
    guard isFolder(path) else { throw .notReplaceable(path: path, found: "a file") }
    let files = folderContents(path)
    if !files.isEmpty, !files.contains(DiffusersLayout.indexFile) {
      throw .notReplaceable(path: path, found: "a folder without model_index.json")
    }
    // A clone of a repository may also hold checkpoints, a license and images.
    if let foreignFile = Self.foreignFile(in: path, files) {
      throw .notReplaceable(path: path, found: "a folder that also holds '\(shown(foreignFile))'")
    }
  }

  /// A file that does not belong in a diffusers folder, there or one level below; `nil` where there
  /// is none.
  private static func foreignFile(in path: String, _ names: [String]) -> String? {
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

  /// The contents of `model_index.json`: the written components and the other members of the
  /// model's index, sorted by name as in diffusers.
  static func index(of model: ModelSource) -> JSONObject {
    var members: [String: JSONValue] = [:]
    for (name, value) in model.index.members {
      members[name] = value.array == nil ? value : [nil, nil]
    }
    // Without a pipeline class, the index is that of the architecture's pipeline.
    if members[ModelSource.pipelineClass] == nil {
      let architecture = Architectures.of(model.components)
      let unet = model[ComponentName.unet]?.config ?? [:]
      for (name, value) in architecture.index(forUNet: unet).members { members[name] = value }
      if !architecture.hasAddedEmbedding {
        for name in DiffusersLayout.absentParts { members[name] = [nil, nil] }
        members[DiffusersLayout.safetyMember] = false
      }
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
      let className =
        model.index[name]?.array?.last?.string ?? scheduler[ModelSource.schedulerClass]?.string
        ?? Architectures.of(model.components).scheduler[ModelSource.schedulerClass]?.string
      members[name] = ["diffusers", className.map { .string($0) } ?? .null]
    }
    for name in ComponentName.tokenizers
    where model.files.contains(where: { $0.path.hasPrefix(name + "/") }) {
      let className = model.index[name]?.array?.last?.string
      members[name] = ["transformers", .string(className ?? "CLIPTokenizer")]
    }
    return JSONObject(members.sorted { $0.key < $1.key })
  }
}

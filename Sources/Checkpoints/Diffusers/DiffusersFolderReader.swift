private import Foundation
package import ModelSources
package import Support
internal import Tensors

/// Reads folders in the layout of diffusers' `save_pretrained` and the Hugging Face Hub.
///
/// Reads the components that the index lists. Leaves out the safety checker and the feature
/// extractor, and lists them in the model's changes. The folder of one component is read as a model with
/// that component only.
package struct DiffusersFolderReader: ModelReader {
  package init() {}

  package var layout: String { DiffusersLayout.name }

  /// A folder with an index, a config or a component's folder, a cached repository, or a cache.
  package func recognizes(_ path: String) -> Bool {
    let files = folderContents(path)
    return HubCache.holdsRepositories(path) || files.contains(DiffusersLayout.indexFile)
      || files.contains(DiffusersLayout.configFile)
      || DiffusersLayout.components.contains { kind in
        files.contains(kind.name) && isFolder(path + "/" + kind.name)
      }
  }

  /// - Throws: ``DiffusersError`` or ``VariantError``, or ``SafetensorsError`` or ``TorchError`` for
  ///   a file of weights.
  package func read(_ path: String, options: ReadOptions) throws -> ModelSource {
    var folder = folderPath(path)
    var files = folderContents(folder)
    // A model's folder may hold the cache that it was downloaded to.
    if !files.contains(DiffusersLayout.indexFile), HubCache.holdsRepositories(folder) {
      folder = try HubCache.snapshot(of: folder)
      files = folderContents(folder)
    }
    if options.ema { throw DiffusersError.averaged(folder: folder) }
    guard files.contains(DiffusersLayout.indexFile) else {
      if let part = try Self.part(folder, files: files, options: options) { return part }
      throw DiffusersError.missingIndex(folder: folder, found: files)
    }
    let index = try readObject(folder + "/" + DiffusersLayout.indexFile)
    let parts = try Self.parts(index, folder: folder)
    try Self.checkKind(index, parts, folder: folder)
    try Self.checkComplete(parts, without: options.replaced, folder: folder)

    let kinds = DiffusersLayout.components.filter { parts[$0.name] != nil }
    let weights = try kinds.compactMap { kind in
      try Self.unlessReplaced(kind, options) { try Self.weights(kind, folder: folder) }
    }
    if let variant = options.variant,
      !weights.contains(where: { $0.choices.contains { $0.variant == variant } })
    {
      throw VariantError(path: folder, variant: variant, known: weights.flatMap(\.variants))
    }

    var components: [ModelSource.Component] = []
    var opened: [String: JSONValue] = [:]
    var variants = JSONObject()
    var changes: [ModelChange] = []
    var inputFiles = ["\(folder)/\(DiffusersLayout.indexFile)"]
    for weight in weights {
      let read = try Self.unlessReplaced(weight.kind, options) {
        try Self.component(
          weight, options.variant, className: parts[weight.kind.name] ?? "")
      }
      guard let read else { continue }
      components.append(read.component)
      changes += read.changes
      opened[weight.kind.name] = .array(
        read.weightFiles.map { .string("\(weight.kind.name)/\($0)") })
      inputFiles += read.inputFiles
      if let variant = read.variant { variants[weight.kind.name] = .string(variant) }
    }

    var provenance: JSONObject = [
      "source": .string(folder), "layout": .string(layout),
      "weights": .object(JSONObject(opened.sorted { $0.key < $1.key })),
    ]
    if !variants.isEmpty { provenance["variants"] = .object(variants) }
    let known = Set(
      kinds.map(\.name) + ComponentName.tokenizers + [DiffusersLayout.scheduler])
    let left = parts.keys.filter { !known.contains($0) }.sorted()
    for isUsual in [true, false] {
      let names = left.filter { DiffusersLayout.absentParts.contains($0) == isUsual }
      if names.isEmpty { continue }
      // No output of any program needs the usual ones, so that nobody has to ask for that.
      changes.append(
        ModelChange(
          .leftOut, "\(names.count == 1 ? "a component" : "components") that Decant does not read",
          names: names, isRequested: isUsual))
    }
    let beside = files.filter(isTensorFileName)
    if !beside.isEmpty {
      // Repositories hold the same model as a single file as well.
      changes.append(
        ModelChange(
          .leftOut, "weights beside the folders of the components", names: beside,
          isRequested: true))
    }
    if files.contains(DiffusersLayout.provenanceFile) {
      inputFiles.append("\(folder)/\(DiffusersLayout.provenanceFile)")
      for (name, value) in try Self.earlierProvenance(folder).members { provenance[name] = value }
    }

    var model = ModelSource(
      location: folder, layout: layout, index: index, components: components,
      scheduler: try Self.scheduler(parts, folder: folder),
      files: try Self.tokenizerFiles(parts, folder: folder), provenance: provenance)
    model.changes = changes
    if model.scheduler != nil { inputFiles.append("\(folder)/\(DiffusersLayout.schedulerFile)") }
    model.inputFiles = inputFiles + model.files.map { "\(folder)/\($0.path)" }
    return model
  }

  /// Reads a component, or nothing where it cannot be read and another model replaces it.
  private static func unlessReplaced<Value>(
    _ kind: DiffusersLayout.ComponentKind, _ options: ReadOptions, _ read: () throws -> Value
  ) throws -> Value? {
    do { return try read() } catch {
      guard options.replaced.contains(kind.name) else { throw error }
      return nil
    }
  }

  /// A component that was read, and from what.
  private struct Opened {
    let component: ModelSource.Component
    /// The names of the weight files.
    let weightFiles: [String]
    /// The paths of all files.
    let inputFiles: [String]
    let variant: String?
    let changes: [ModelChange]
  }

  private static func component(
    _ weights: DiffusersWeights, _ variant: String?, className: String
  ) throws -> Opened {
    let path = "\(weights.folder)/\(DiffusersLayout.configFile)"
    let written = try readObject(path)
    // Pickles of other forms hold tensors of their own classes, which are no readable weights. So
    // the config is checked before they are opened.
    let described = try QuantizedForms.described(by: written, path: path)
    let choice = try weights.choose(variant)
    let opened = try weights.open(choice)
    let (config, restored, changes) = try QuantizedForms.restored(
      written, opened.weights, described: described, of: weights.kind.name, path: path)
    return Opened(
      component: ModelSource.Component(
        name: weights.kind.name, className: className, config: config, weights: restored),
      weightFiles: opened.files,
      inputFiles: [path, "\(weights.folder)/\(choice.file)"]
        + (choice.isIndex ? opened.files.map { "\(weights.folder)/\($0)" } : []),
      variant: choice.variant,
      changes: weights.changes(reading: choice, for: variant) + opened.changes + changes
        + weights.changesOfUnread(opened.files, for: variant))
  }

  /// Reads the folder of one component; `nil` where the folder is no component's.
  private static func part(
    _ folder: String, files: [String], options: ReadOptions
  ) throws -> ModelSource? {
    guard files.contains(DiffusersLayout.configFile) else { return nil }
    let kinds = DiffusersLayout.components.filter { kind in
      !DiffusersWeights(folder: folder, kind: kind, files: files).choices.isEmpty
    }
    if kinds.isEmpty { return nil }
    let config = try readObject(folder + "/" + DiffusersLayout.configFile)
    let className =
      config["_class_name"]?.string ?? config["architectures"]?.array?.first?.string
    guard let className, let kind = kinds.first(where: { $0.classes.contains(className) }) else {
      if let className, let foreign = ForeignKind(ofClass: className) {
        throw DiffusersError.foreign(
          path: folder + "/" + DiffusersLayout.configFile, className: className, kind: foreign)
      }
      throw DiffusersError.unknownClass(
        folder: folder, found: className, known: DiffusersLayout.components.flatMap(\.classes))
    }
    let weights = DiffusersWeights(folder: folder, kind: kind, files: files)
    let read = try component(weights, options.variant, className: className)
    if let variant = options.variant, read.variant != variant {
      throw VariantError(
        path: folder, component: kind.name, variant: variant, known: weights.variants)
    }
    var provenance: JSONObject = [
      "source": .string(folder), "layout": .string(DiffusersLayout.name),
      "weights": [kind.name: .strings(read.weightFiles)],
    ]
    if let variant = read.variant { provenance["variants"] = [kind.name: .string(variant)] }
    var model = ModelSource(
      location: folder, layout: DiffusersLayout.name, index: [:], components: [read.component],
      scheduler: nil, files: [], provenance: provenance)
    model.changes = read.changes
    model.inputFiles = read.inputFiles
    return model
  }

  /// The provenance that Decant stored with the folder. It replaces the reader's own.
  private static func earlierProvenance(_ folder: String) throws(DiffusersError) -> JSONObject {
    let path = folder + "/" + DiffusersLayout.provenanceFile
    let provenance = try readObject(path)
    for (member, expected) in [("source", "an object"), ("steps", "a list of objects")] {
      let value = provenance[member]
      let fits =
        member == "source"
        ? value?.object != nil : value?.array?.allSatisfy { $0.object != nil } == true
      if !fits {
        throw .malformedProvenance(
          path: path, member: member, found: value.map { shown($0.kind) } ?? "missing",
          expected: expected)
      }
    }
    return provenance
  }

  /// The classes of the components that the index lists and that are not null.
  private static func parts(
    _ index: JSONObject, folder: String
  ) throws(DiffusersError) -> [String: String] {
    var parts: [String: String] = [:]
    for (name, value) in index.members {
      guard let pair = value.array else { continue }
      if pair == [.null, .null] { continue }
      guard pair.count == 2, pair[0].string != nil, let className = pair[1].string else {
        throw .malformedEntry(path: folder + "/" + DiffusersLayout.indexFile, member: name)
      }
      parts[name] = className
    }
    return parts
  }

  /// Refuses an index whose pipeline or components are of a kind that is known and not read.
  private static func checkKind(
    _ index: JSONObject, _ parts: [String: String], folder: String
  ) throws(DiffusersError) {
    // The components that decide what a pipeline is, and those that are read.
    let names = ["transformer", "prior", "decoder"] + DiffusersLayout.components.map(\.name)
    let classes = [index["_class_name"]?.string] + names.map { parts[$0] }
    for className in classes.compactMap({ $0 }) {
      guard let kind = ForeignKind(ofClass: className) else { continue }
      throw .foreign(
        path: folder + "/" + DiffusersLayout.indexFile, className: className, kind: kind)
    }
  }

  /// Refuses an index without a component for each role: text encoder, U-Net and autoencoder.
  ///
  /// - Parameter replaced: components that come from other models.
  private static func checkComplete(
    _ parts: [String: String], without replaced: Set<String>, folder: String
  ) throws(DiffusersError) {
    let roles = Dictionary(grouping: DiffusersLayout.components, by: \.role)
    let missing = roles.values
      .filter { kinds in
        !kinds.contains { parts[$0.name] != nil || replaced.contains($0.name) }
      }
      .map { $0[0].name }
    guard missing.isEmpty else {
      throw .missingComponents(
        folder: folder, missing: missing.sorted(), listed: parts.keys.sorted())
    }
  }

  private static func weights(
    _ kind: DiffusersLayout.ComponentKind, folder: String
  ) throws(DiffusersError) -> DiffusersWeights {
    let place = folder + "/" + kind.name
    guard isFolder(place) else { throw .missingFolder(folder: folder, component: kind.name) }
    let files = folderContents(place)
    guard files.contains(DiffusersLayout.configFile) else {
      throw .missingFile(
        folder: place, component: kind.name, lookedFor: [DiffusersLayout.configFile], found: files)
    }
    return DiffusersWeights(folder: place, kind: kind, files: files)
  }

  private static func scheduler(
    _ parts: [String: String], folder: String
  ) throws(DiffusersError) -> JSONObject? {
    let name = DiffusersLayout.scheduler
    guard parts[name] != nil else { return nil }
    guard isFolder(folder + "/" + name) else {
      throw .missingFolder(folder: folder, component: name)
    }
    let found = folderContents(folder + "/" + name)
    guard found.contains("scheduler_config.json") else {
      throw .missingFile(
        folder: folder + "/" + name, component: name, lookedFor: ["scheduler_config.json"],
        found: found)
    }
    var config = try readObject(
      folder + "/" + DiffusersLayout.schedulerFile, acceptingInfinity: true)
    // diffusers writes `"lambda_min_clipped": -Infinity`, which is not JSON. It is the member's
    // default, so that removing the member changes nothing.
    for (key, value) in config.members where value.number?.isFinite == false { config[key] = nil }
    return config
  }

  /// The files of the tokenizer whose folder lies beside the folder of a text encoder; empty where
  /// there is none.
  ///
  /// - Throws: ``DiffusersError`` for a tokenizer's folder without the files that it must have.
  package static func tokenizerFiles(
    beside encoder: String, named name: String
  ) throws(DiffusersError) -> [ModelSource.File] {
    let place = PathParts(encoder).sibling(name)
    guard isFolder(place) else { return [] }
    let folder = PathParts(place).folder
    return try tokenizerFiles([name: ""], folder: folder.isEmpty ? "." : folder)
  }

  /// The scheduler config whose folder lies beside the folder of a component; `nil` where there is
  /// none.
  package static func scheduler(beside component: String) throws(DiffusersError) -> JSONObject? {
    let name = DiffusersLayout.scheduler
    let place = PathParts(component).sibling(name)
    guard isFolder(place) else { return nil }
    let folder = PathParts(place).folder
    return try scheduler([name: ""], folder: folder.isEmpty ? "." : folder)
  }

  private static func tokenizerFiles(
    _ parts: [String: String], folder: String
  ) throws(DiffusersError) -> [ModelSource.File] {
    var files: [ModelSource.File] = []
    for name in ComponentName.tokenizers where parts[name] != nil {
      let place = folder + "/" + name
      guard isFolder(place) else { throw .missingFolder(folder: folder, component: name) }
      let found = Set(folderContents(place))
      guard DiffusersLayout.tokenizerForms.contains(where: { found.isSuperset(of: $0) }) else {
        throw .missingFile(
          folder: place, component: name,
          lookedFor: DiffusersLayout.tokenizerForms.map { $0.joined(separator: " and ") },
          found: found.sorted())
      }
      for file in DiffusersLayout.tokenizerFiles where found.contains(file) {
        if let fault = LayoutError.downloadFault(of: "\(place)/\(file)") { throw .absent(fault) }
        do {
          files.append(
            ModelSource.File(
              path: "\(name)/\(file)",
              bytes: try ByteSlice.mapping("\(place)/\(file)").withoutByteOrderMark))
        } catch { throw .unreadable(error) }
      }
    }
    return files
  }
}

/// The names in a folder, sorted; empty where there is no folder. Follows symbolic links.
package func folderContents(_ path: String) -> [String] {
  ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
}

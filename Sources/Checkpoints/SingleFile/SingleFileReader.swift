import Formats
package import ModelSources
internal import Support

/// Reads a model, or some of its components, from a single file of any container format, in the
/// layout of Stability's LDM and SGM code (as web UIs use it) or with diffusers' names.
///
/// The reader derives components, depths and widths from names and shapes, not from a table of
/// known models. So it reads stripped U-Nets too.
package struct SingleFileReader: ModelReader {
  package init() {}

  package var layout: String { "single-file checkpoint" }

  package var kinds: [String] { Archives.all.map(\.kind) }

  package func checksums(of path: String) -> Checksums { Archives.checksums(of: path) }

  package func recognizes(_ path: String) -> Bool { Archives.format(of: path) != nil }

  /// - Throws: ``SingleFileError``, ``VariantError``, or the error of the container format.
  package func read(_ path: String, options: ReadOptions) throws -> ModelSource {
    if let variant = options.variant {
      throw VariantError(path: path, variant: variant)
    }
    return try model(of: try Archives.open(path), path: path, options: options)
  }

  /// Builds the model from the tensors of an archive.
  package func model(
    of archive: Archive, path: String, options: ReadOptions = ReadOptions()
  ) throws -> ModelSource {
    var groups = TensorGroups(archive.weights, average: options.ema)
    let isAverageAlone = groups.isAverageAlone
    if isAverageAlone, options.ema, !groups.isAverage { groups.takeMovingAverage() }
    try Self.checkKind(archive, groups, path: path)
    if options.ema, !groups.hasMovingAverage { throw SingleFileError.noMovingAverage(path: path) }
    let carried = try CarriedConfig(archive.metadata, path: path)
    let builder = ComponentBuilder(path: path, weights: archive.weights, carried: carried)

    var components: [ModelSource.Component] = []
    let architecture: Architecture
    do {
      if !groups.text.isEmpty { components.append(try builder.text(groups.text, isSecond: false)) }
      if !groups.text2.isEmpty {
        components.append(try builder.text(groups.text2, isSecond: true))
      }
      if !groups.unet.isEmpty {
        components.append(
          try builder.unet(
            groups.unet, average: options.ema && !isAverageAlone && !groups.isAverage))
      }
      architecture = Architectures.of(components)
      if !groups.vae.isEmpty { components.append(try builder.vae(groups.vae, architecture)) }
    } catch {
      // Other models may use names of a Stable Diffusion model.
      let survey = TensorSurvey(archive.weights)
      guard survey.foreignKind != nil else {
        throw NamePlaces(archive.weights.names).fault(in: path) ?? error
      }
      throw SingleFileError.notAModel(path: path, kind: archive.kind, survey: survey)
    }

    var model = ModelSource(
      location: path, layout: layout, index: carried?.index ?? [:], components: components,
      scheduler: carried?.scheduler, files: carried?.files ?? [],
      provenance: Self.provenance(archive))
    if groups.hasMovingAverage {
      let fate: ModelSource.MovingAverage =
        options.ema
        ? (isAverageAlone ? .readWithoutOthers : .read)
        : isAverageAlone
          ? .ignoredWithoutOthers : groups.isAverageIncomplete ? .ignoredIncomplete : .ignored
      model.provenance[ModelSource.MovingAverage.fact] = .string(fate.rawValue)
    }
    model.changes += archive.changes
    model.changes += Self.changes(groups, average: options.ema && !isAverageAlone)
    if let carried {
      carried.restoreNotes(of: &model)
    } else {
      model.predictionEvidence = try Self.predictionEvidence(archive, groups)
      model = model.completedWithArchitectureDefaults()
    }
    return model
  }

  private static func checkKind(
    _ archive: Archive, _ groups: TensorGroups, path: String
  ) throws(SingleFileError) {
    let names = archive.weights.names
    // The marks may be below a prefix.
    let mark = SingleFileFacts.continuous.lazy.compactMap { mark in
      names.first { $0 == mark || $0.hasSuffix("." + mark) }
    }.first
    if let mark { throw .continuousNoise(path: path, tensor: mark) }
    // The names of diffusers' adapters begin with module names of a U-Net.
    let adapters = names.filter { AdapterKeys.split($0) != nil }
    if !adapters.isEmpty, 2 * adapters.count >= names.count {
      throw .adapter(path: path, examples: Array(adapters.prefix(4)))
    }
    if !groups.unet.isEmpty, ForeignKind(archive.weights, onlyUNets: true) != nil {
      throw .notAModel(path: path, kind: archive.kind, survey: TensorSurvey(archive.weights))
    }
    guard groups.isEmpty else {
      let fault = groups.leftOut.isEmpty ? nil : NamePlaces(names).faultOfLayers(in: path)
      if let fault { throw fault }
      return
    }
    if groups.hasMovingAverage { throw .averageAlone(path: path) }
    let survey = TensorSurvey(archive.weights)
    let fault = survey.foreignKind == nil ? NamePlaces(names).fault(in: path) : nil
    throw fault ?? .notAModel(path: path, kind: archive.kind, survey: survey)
  }

  private static func provenance(_ archive: Archive) -> JSONObject {
    var provenance: JSONObject = ["container": .string(archive.kind)]
    // Metadata of training and merging tools is kept for the next file.
    let kept = archive.metadata.members.filter {
      $0.key.hasPrefix("modelspec.") || $0.key.hasPrefix("ss_") || $0.key.hasPrefix("sd_merge_")
        || $0.key == "license"
    }
    if !kept.isEmpty {
      provenance["metadata"] = .object(JSONObject(kept.map { ($0.key, $0.value) }))
    }
    return provenance
  }

  /// What the file shows of the U-Net's prediction type; `nil` without a U-Net.
  private static func predictionEvidence(
    _ archive: Archive, _ groups: TensorGroups
  ) throws -> PredictionEvidence? {
    if groups.unet.isEmpty { return nil }
    let origins = Dictionary(groups.unet.origins.map { ($0.name, $0.origin) }) { first, _ in first }
    return try PredictionEvidence(archive, markers: groups.markers) { origins[$0] }
  }

  /// What was removed from names, and the tensors that belong to no component.
  ///
  /// - Parameter average: whether the moving average was read in place of other weights.
  private static func changes(_ groups: TensorGroups, average: Bool) -> [ModelChange] {
    var changes = groups.changes
    if !groups.leftOut.isEmpty {
      changes.append(
        ModelChange(
          .leftOut, "\(counted(groups.leftOut.count, "tensor")) of no component",
          names: groups.leftOut))
    }
    let (found, whole) = (groups.averages.count, groups.unet.origins.count)
    if !average, groups.isAverageIncomplete {
      changes.append(
        ModelChange(
          .leftOut, component: ComponentName.unet,
          "an incomplete moving average, which has \(found) of \(whole) tensors",
          names: groups.averages))
    }
    return changes
  }
}

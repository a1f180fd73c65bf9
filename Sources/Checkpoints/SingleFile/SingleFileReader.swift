import Formats
package import ModelSources
internal import Support

/// Reads a model that lies in one file, or a part of one, whatever kind of file it is: the layout of
/// Stability's LDM and SGM code, as web UIs have it, or diffusers' names.
///
/// Nothing is looked up in a table of known models: components, depths and widths are found from
/// names and shapes, so that a stripped U-Net is read as what it is.
package struct SingleFileReader: ModelReader {
  package init() {}

  package var layout: String { "single-file checkpoint" }

  package func recognizes(_ path: String) -> Bool { Archives.format(of: path) != nil }

  /// - Throws: ``SingleFileError``, or what the kind of file throws.
  package func read(_ path: String, options: ReadOptions) throws -> ModelSource {
    if let variant = options.variant {
      throw SingleFileError.noVariants(path: path, variant: variant)
    }
    return try model(of: try Archives.open(path), path: path, options: options)
  }

  /// The model that the tensors of an archive make.
  package func model(
    of archive: Archive, path: String, options: ReadOptions = ReadOptions()
  ) throws -> ModelSource {
    var parts = SingleFileParts(archive.weights)
    let isAverageAlone = parts.unet.isEmpty && parts.hasMovingAverage
    if isAverageAlone, options.ema { parts.takeMovingAverage() }
    try Self.checkKind(archive, parts, path: path)
    if options.ema, !parts.hasMovingAverage { throw SingleFileError.noMovingAverage(path: path) }
    let carried = try CarriedConfig(archive.metadata, path: path)
    let builder = SingleFileComponents(path: path, weights: archive.weights, carried: carried)

    var components: [ModelSource.Component] = []
    if !parts.text.isEmpty { components.append(try builder.text(parts.text, isSecond: false)) }
    if !parts.text2.isEmpty { components.append(try builder.text(parts.text2, isSecond: true)) }
    if !parts.unet.isEmpty {
      do {
        components.append(
          try builder.unet(parts.unet, average: options.ema && !isAverageAlone))
      } catch {
        // Blocks of other models may have names of a U-Net's.
        let survey = TensorSurvey(archive.weights)
        guard survey.likeness != nil else { throw error }
        throw SingleFileError.notAModel(path: path, kind: archive.kind, survey: survey)
      }
    }
    let architecture = Architectures.of(components)
    if !parts.vae.isEmpty { components.append(try builder.vae(parts.vae, architecture)) }

    var model = ModelSource(
      location: path, layout: layout, index: carried?.index ?? [:], components: components,
      scheduler: carried?.scheduler, files: carried?.files ?? [],
      provenance: Self.provenance(archive, parts))
    if parts.hasMovingAverage {
      let fate: ModelSource.MovingAverage =
        options.ema
        ? (isAverageAlone ? .takenAlone : .taken) : (isAverageAlone ? .leftAlone : .left)
      model.provenance[ModelSource.MovingAverage.fact] = .string(fate.rawValue)
    }
    model.configsAreDerived = carried == nil
    if carried == nil { try Self.derive(&model, architecture, archive, parts) }
    return model
  }

  private static func checkKind(
    _ archive: Archive, _ parts: SingleFileParts, path: String
  ) throws(SingleFileError) {
    let names = archive.weights.names
    if let mark = SingleFileFacts.continuous.first(where: { archive.weights.entry($0) != nil }) {
      throw .unsupported(
        path: path,
        found: "the tensor '\(mark)' says that the model was trained with EDM's continuous noise, "
          + "which Decant's schedulers do not know")
    }
    // diffusers' adapters have the names of a U-Net's parts before their own.
    let adapters = names.filter { AdapterKeys.split($0) != nil }
    if !adapters.isEmpty, 2 * adapters.count >= names.count {
      throw .adapter(path: path, examples: Array(adapters.prefix(4)))
    }
    guard parts.isEmpty else { return }
    if parts.hasMovingAverage { throw .averageAlone(path: path) }
    throw .notAModel(path: path, kind: archive.kind, survey: TensorSurvey(archive.weights))
  }

  private static func provenance(
    _ archive: Archive, _ parts: SingleFileParts
  ) -> JSONObject {
    var provenance: JSONObject = ["container": .string(archive.kind)]
    // What training and merging tools say of a model is handed on to the next file.
    let told = archive.metadata.members.filter {
      $0.key.hasPrefix("modelspec.") || $0.key.hasPrefix("ss_") || $0.key.hasPrefix("sd_merge_")
        || $0.key == "license"
    }
    if !told.isEmpty {
      provenance["metadata"] = .object(JSONObject(told.map { ($0.key, $0.value) }))
    }
    if !parts.leftOut.isEmpty {
      let most = 20
      let more = parts.leftOut.count - most
      provenance["left_out"] = .array(
        parts.leftOut.prefix(most).map { .string($0) }
          + (more > 0 ? [.string("and \(more) more")] : []))
    }
    return provenance
  }

  // MARK: - What no tensor says

  /// Sets index, scheduler and tokenizers from the architecture.
  private static func derive(
    _ model: inout ModelSource, _ architecture: Architecture, _ archive: Archive,
    _ parts: SingleFileParts
  ) throws {
    model.files = model.components.flatMap { component in
      architecture.tokenizerFiles(of: component.name)
    }
    guard let unet = model[ComponentName.unet] else { return }
    let origins = Dictionary(parts.unet.origins.map { ($0.name, $0.origin) }) { first, _ in first }
    let prediction = try Prediction(archive, architecture: architecture) { origins[$0] }
    model.provenance["prediction"] = prediction.json
    model.index = architecture.index(forUNet: unet.config)
    var scheduler = architecture.scheduler
    scheduler["prediction_type"] = .string(prediction.type)
    if prediction.endsInNoise {
      scheduler["rescale_betas_zero_snr"] = true
      scheduler["timestep_spacing"] = "trailing"
    }
    model.scheduler = scheduler
    model[ComponentName.unet]?.config["sample_size"] = .integer(
      architecture.sampleSize(prediction.type))
  }
}

package import Models
package import Quantization
package import Support
internal import Tensors

/// A calibration in memory: activation statistics and recorded calls, with the model, settings and
/// runs that they come from.
///
/// `Formats/calibration.md` specifies the file format.
package struct CalibrationFile: Sendable, Equatable {
  package static let version = 2
  package static let metadataKey = "decant.calibration"

  /// The path that messages name.
  package var path: String
  /// The program that made the calibration, with its version.
  package var tool: String
  /// Whether all requested runs are done.
  package var isComplete: Bool
  package var model: CalibratedModel
  package var settings: CalibrationSettings
  /// The runs that the statistics come from, sorted, none twice.
  package internal(set) var runs: [CalibrationRun]
  package internal(set) var statistics: ActivationStatistics
  /// The recorded calls, sorted by run and step. Files of version 1 have none.
  package internal(set) var calls: [ReferenceCall]

  /// A calibration without runs.
  package init(
    path: String, tool: String, model: CalibratedModel, settings: CalibrationSettings,
    modules: [ModuleSpec], bands: TimestepBands
  ) {
    self.init(
      path: path, tool: tool, isComplete: false, model: model, settings: settings, runs: [],
      statistics: ActivationStatistics(modules: modules, bands: bands), calls: [])
  }

  init(
    path: String, tool: String, isComplete: Bool, model: CalibratedModel,
    settings: CalibrationSettings, runs: [CalibrationRun], statistics: ActivationStatistics,
    calls: [ReferenceCall]
  ) {
    self.path = path
    self.tool = tool
    self.isComplete = isComplete
    self.model = model
    self.settings = settings
    self.runs = runs
    self.statistics = statistics
    self.calls = calls
  }

  /// Adds the statistics and the recorded calls of one run.
  mutating func add(
    _ run: CalibrationRun, _ added: ActivationStatistics, _ calls: [ReferenceCall]
  ) throws(CalibrationError) {
    if let module = statistics.merge(added) { throw .overflow(module: module) }
    runs.append(run)
    runs.sort()
    self.calls.append(contentsOf: calls)
    self.calls.sort()
  }

  /// Whether there are enough recorded calls to measure layers with them: their inputs' second moments
  /// and their sensitivities. Fewer describe few prompts and noise levels.
  package var allowsMeasurements: Bool { calls.count >= Self.measurableCalls }

  /// The fewest calls of ``allowsMeasurements``.
  package static let measurableCalls = 16

  /// The recorded calls with their settings; `nil` where the file has none.
  package var recorded: RecordedCalls? {
    calls.isEmpty ? nil : RecordedCalls(calls, settings)
  }

  /// The calibration in the provenance of a quantized model.
  package var provenance: JSONObject {
    [
      "tool": .string(tool), "model": .object(model.json), "settings": .object(settings.json),
      "bands": .integers(statistics.bands.boundaries),
      "runs": .integer(runs.count),
      "prompts": .integer(Set(runs.map { [$0.prompt, $0.negativePrompt] }).count),
    ]
  }

  /// Checks that the calibration belongs to a model with these modules.
  ///
  /// - Throws: ``CalibrationError`` when the calibration is incomplete, or when the model's
  ///   convolutions and linear layers have other names or other input channels.
  package func check(against modules: [ModuleSpec]) throws(CalibrationError) {
    guard isComplete else { throw .incomplete(path: path, runs: runs.count) }
    let matrices = modules.filter(\.kind.isMatrix)
    let expected = matrices.map(\.name)
    if expected != statistics.names {
      let (ours, theirs) = (Set(statistics.names), Set(expected))
      throw .otherModules(
        path: path, missing: expected.filter { !ours.contains($0) },
        unexpected: statistics.names.filter { !theirs.contains($0) })
    }
    for module in matrices {
      let channels = statistics[module.name]?.channels ?? 0
      if channels != module.weight.shape[1] {
        throw .otherChannels(
          path: path, module: module.name, found: channels, expected: module.weight.shape[1])
      }
    }
  }
}

extension CalibrationFile {
  /// The calibration of a model that has some of the layers under other names. The runs and the recorded
  /// calls stay those of the original.
  ///
  /// - Parameters:
  ///   - layers: the layers of the model, in its order, with their names here. Layers that are not here are
  ///     left out.
  ///   - digest: the digest of the model's U-Net.
  package func renamed(
    _ layers: [(name: String, original: String)], digest: String
  ) -> CalibrationFile {
    var copy = self
    copy.model.digest = digest
    copy.statistics = ActivationStatistics(
      layers.compactMap { layer in statistics[layer.original].map { (layer.name, $0) } },
      bands: statistics.bands)
    return copy
  }
}

// MARK: - Merging

extension CalibrationFile {
  /// Merges calibrations of the same model and settings with different runs.
  ///
  /// The result has the same bytes as one calibration with all of the runs.
  ///
  /// - Parameters:
  ///   - path: the path that messages name for the result.
  ///   - tool: the program that merges, with its version; it replaces the files' programs where these
  ///     differ.
  /// - Throws: ``CalibrationError`` when there are fewer than two files, one is incomplete, they
  ///   differ in model, settings, bands or modules, or two of them share a run.
  package static func merging(
    _ files: [CalibrationFile], path: String, tool: String
  ) throws(CalibrationError) -> CalibrationFile {
    guard var result = files.first, files.count > 1 else {
      throw .nothingToMerge(count: files.count)
    }
    for file in files where !file.isComplete {
      throw .incomplete(path: file.path, runs: file.runs.count)
    }
    var owners = Dictionary(uniqueKeysWithValues: result.runs.map { ($0, result.path) })
    for file in files.dropFirst() {
      try result.checkMerging(file)
      let common = file.runs.filter { owners[$0] != nil }
      if let run = common.first, let owner = owners[run] {
        throw .overlap(paths: [owner, file.path], count: common.count, run: run)
      }
      for run in file.runs { owners[run] = file.path }
      if let module = result.statistics.merge(file.statistics) { throw .overflow(module: module) }
      result.runs += file.runs
      result.calls += file.calls
    }
    result.runs.sort()
    result.calls.sort()
    result.path = path
    if files.contains(where: { $0.tool != result.tool }) { result.tool = tool }
    return result
  }

  private func checkMerging(_ other: CalibrationFile) throws(CalibrationError) {
    for difference in differences(from: other) {
      throw .differ(
        paths: [path, other.path], what: difference.what,
        found: [difference.ours, difference.theirs])
    }
  }

  /// The differences between two calibrations that prevent merging them.
  func differences(
    from other: CalibrationFile
  ) -> [(what: String, ours: String, theirs: String)] {
    var found: [(what: String, ours: String, theirs: String)] = []
    func compare<Value: Equatable>(_ what: String, _ ours: Value, _ theirs: Value) {
      if ours != theirs { found.append((what, "\(ours)", "\(theirs)")) }
    }
    compare("the component", model.component, other.model.component)
    compare("the model's digest", model.digest, other.model.digest)
    compare("steps", settings.steps, other.settings.steps)
    compare("recorded steps", settings.recordedSteps, other.settings.recordedSteps)
    compare("the scheduler", settings.scheduler, other.settings.scheduler)
    compare("the guidance scale", settings.guidanceScale, other.settings.guidanceScale)
    compare(
      "the sizes", listed(settings.sizes.map(\.description)),
      listed(other.settings.sizes.map(\.description)))
    compare(
      "the timestep bands", statistics.bands.boundaries, other.statistics.bands.boundaries)
    let (ours, theirs) = (statistics.names, other.statistics.names)
    if ours != theirs {
      let index = zip(ours, theirs).enumerated().first { $0.element.0 != $0.element.1 }?.offset
      let place = index ?? min(ours.count, theirs.count)
      found.append(
        (
          "the modules", ours.indices.contains(place) ? ours[place] : "none",
          theirs.indices.contains(place) ? theirs[place] : "none"
        ))
    } else {
      for name in ours {
        compare(
          "the input channels of '\(name)'", statistics[name]?.channels ?? 0,
          other.statistics[name]?.channels ?? 0)
      }
    }
    return found
  }
}

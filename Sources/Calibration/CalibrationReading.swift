private import Checkpoints
internal import Quantization
internal import Support
internal import Tensors

extension CalibrationFile {
  /// Reads a calibration, complete or not.
  ///
  /// - Throws: ``CalibrationError`` when the file is another one or violates the specification, and
  ///   `SafetensorsError` when it cannot be opened, is incomplete or is damaged.
  package init(path: String) throws {
    let file: SafetensorsFile
    do { file = try SafetensorsFile(path: path) } catch {
      guard error.isOfAnotherFormat else { throw error }
      throw CalibrationError.notCalibration(path: path, found: "not a safetensors file")
    }
    guard let text = file.metadata[Self.metadataKey] else {
      throw CalibrationError.notCalibration(
        path: path,
        found: "a safetensors file without '\(Self.metadataKey)' in its metadata")
    }
    let value: JSONValue
    do { value = try JSONValue(parsing: text) } catch {
      throw CalibrationError.malformedMetadata(path: path, error: error)
    }
    let reader = MetadataReader(path: path, name: Self.metadataKey)
    let object = try reader.object(value)
    if let version = object["version"], version != .integer(Self.version) {
      throw CalibrationError.version(path: path, found: version.text())
    }
    let metadata = try reader.members(
      object,
      [
        "version", "tool", "complete", "model", "settings", "bands", "passes", "histogram",
        "modules", "runs",
      ])
    self.init(
      path: path,
      tool: try reader.string(metadata, "tool"),
      isComplete: try reader.bool(metadata, "complete"),
      model: try reader.model(metadata),
      settings: try reader.settings(metadata),
      runs: try reader.runs(metadata),
      statistics: try reader.statistics(metadata, file))
  }
}

extension SafetensorsError {
  /// Whether the file does not begin as a safetensors file does.
  fileprivate var isOfAnotherFormat: Bool {
    switch self {
    case .tooShort, .headerTooLong, .headerStart: true
    default: false
    }
  }
}

/// Reads the metadata of a calibration. Its errors name the wrong member.
private struct MetadataReader {
  let path: String
  let name: String

  func refuse(_ member: String, _ found: JSONValue?, _ expected: String) -> CalibrationError {
    let text = found.map { $0.text() } ?? "absent"
    let shown = text.count > 60 ? text.prefix(60) + "…" : Substring(text)
    return .metadata(path: path, member: member, found: String(shown), expected: expected)
  }

  func object(_ value: JSONValue) throws(CalibrationError) -> JSONObject {
    guard let object = value.object else { throw refuse(name, value, "an object") }
    return object
  }

  /// Checks that the members of the object are exactly `names`.
  func members(
    _ object: JSONObject, _ names: [String], of parent: String? = nil
  ) throws(CalibrationError) -> JSONObject {
    let prefix = parent.map { $0 + "." } ?? ""
    for key in object.keys where !names.contains(key) {
      throw refuse(prefix + key, object[key], "no member of this name")
    }
    for key in names where object[key] == nil {
      throw refuse(prefix + key, nil, "a value")
    }
    return object
  }

  func string(
    _ object: JSONObject, _ key: String, of parent: String? = nil
  ) throws(CalibrationError) -> String {
    guard let value = object[key]?.string else {
      throw refuse(full(key, parent), object[key], "a string")
    }
    return value
  }

  func bool(_ object: JSONObject, _ key: String) throws(CalibrationError) -> Bool {
    guard let value = object[key]?.bool else { throw refuse(key, object[key], "a Boolean") }
    return value
  }

  func integer(
    _ object: JSONObject, _ key: String, of parent: String? = nil, from least: Int = 1
  ) throws(CalibrationError) -> Int {
    guard let value = object[key]?.integer, value >= least else {
      throw refuse(full(key, parent), object[key], "an integer of at least \(least)")
    }
    return value
  }

  private func full(_ key: String, _ parent: String?) -> String {
    parent.map { $0 + "." + key } ?? key
  }

  private func child(
    _ metadata: JSONObject, _ key: String, _ names: [String]
  ) throws(CalibrationError) -> JSONObject {
    guard let object = metadata[key]?.object else {
      throw refuse(key, metadata[key], "an object")
    }
    return try members(object, names, of: key)
  }

  func model(_ metadata: JSONObject) throws(CalibrationError) -> CalibratedModel {
    let object = try child(metadata, "model", ["component", "digest"])
    return CalibratedModel(
      component: try string(object, "component", of: "model"),
      digest: try string(object, "digest", of: "model"))
  }

  func settings(_ metadata: JSONObject) throws(CalibrationError) -> CalibrationSettings {
    let names = ["steps", "scheduler", "guidance_scale", "width", "height"]
    let object = try child(metadata, "settings", names)
    guard let guidance = object["guidance_scale"]?.number else {
      throw refuse("settings.guidance_scale", object["guidance_scale"], "a number")
    }
    return CalibrationSettings(
      steps: try integer(object, "steps", of: "settings"),
      scheduler: try string(object, "scheduler", of: "settings"), guidanceScale: guidance,
      size: ImageSize(
        width: try integer(object, "width", of: "settings"),
        height: try integer(object, "height", of: "settings")))
  }

  func runs(_ metadata: JSONObject) throws(CalibrationError) -> [CalibrationRun] {
    guard let values = metadata["runs"]?.array else {
      throw refuse("runs", metadata["runs"], "an array")
    }
    var runs: [CalibrationRun] = []
    for (index, value) in values.enumerated() {
      let name = "runs[\(index)]"
      guard let object = value.object else { throw refuse(name, value, "an object") }
      let run = try members(object, ["prompt", "negative_prompt", "seed"], of: name)
      runs.append(
        CalibrationRun(
          prompt: try string(run, "prompt", of: name),
          negativePrompt: try string(run, "negative_prompt", of: name),
          seed: UInt64(try integer(run, "seed", of: name, from: 0))))
    }
    if runs.isEmpty { throw refuse("runs", metadata["runs"], "at least one run") }
    runs.sort()
    for (run, next) in zip(runs, runs.dropFirst()) where run == next {
      throw .repeatedRun(path: path, run: run)
    }
    return runs
  }

  func statistics(
    _ metadata: JSONObject, _ file: SafetensorsFile
  ) throws -> ActivationStatistics {
    guard let boundaries = metadata["bands"]?.array?.map(\.integer),
      let bands = TimestepBands(boundaries: boundaries.compactMap { $0 }),
      bands.boundaries.count == boundaries.count
    else { throw refuse("bands", metadata["bands"], "at least two ascending integers") }
    if metadata["passes"] != CalibrationFile.passes {
      throw refuse("passes", metadata["passes"], CalibrationFile.passes.text())
    }
    let bins = try child(metadata, "histogram", CalibrationFile.histogram.keys)
    for (key, expected) in CalibrationFile.histogram.members where bins[key] != expected {
      throw refuse("histogram.\(key)", bins[key], expected.text())
    }
    guard let names = metadata["modules"]?.array?.map(\.string), !names.contains(nil),
      Set(names).count == names.count, !names.isEmpty
    else { throw refuse("modules", metadata["modules"], "distinct names") }

    var modules: [(String, ModuleStatistics)] = []
    var known: Set<String> = []
    for name in names.compactMap({ $0 }) {
      known.formUnion(StatisticsTensor.allCases.map { $0.name(of: name) })
      modules.append((name, try module(name, bands: bands.count, file)))
    }
    if let tensor = file.names.first(where: { !known.contains($0) }) {
      throw CalibrationError.unexpectedTensor(path: path, tensor: tensor)
    }
    return ActivationStatistics(modules, bands: bands)
  }

  private func module(
    _ name: String, bands: Int, _ file: SafetensorsFile
  ) throws -> ModuleStatistics {
    let maximumName = StatisticsTensor.maximum.name(of: name)
    guard let entry = file.entry(maximumName) else {
      throw CalibrationError.missingTensor(path: path, tensor: maximumName)
    }
    // The extents of an empty tensor are unchecked; those of others are bounded by the file.
    let channels = entry.shape.rank == 3 && entry.shape.count > 0 ? entry.shape[2] : 0
    func bytes(_ tensor: StatisticsTensor) throws -> ByteSlice {
      let tensorName = tensor.name(of: name)
      guard let entry = file.entry(tensorName) else {
        throw CalibrationError.missingTensor(path: path, tensor: tensorName)
      }
      let shape = tensor.shape(channels: channels, bands: bands)
      guard entry == TensorEntry(shape: shape, encoding: .plain(tensor.kind)) else {
        throw CalibrationError.tensor(
          path: path, tensor: tensorName, found: entry,
          expected: "\(TensorEncoding.plain(tensor.kind).name) \(shape)")
      }
      return try file.tensor(tensorName).parts[0]
    }
    _ = try bytes(.maximum)
    let maxima = try file.tensor(maximumName).floats()
    if let value = maxima.first(where: { !($0 >= 0 && $0.isFinite) }) {
      throw CalibrationError.value(path: path, tensor: maximumName, found: value)
    }
    let words = try bytes(.energy).words
    let squareSums = stride(from: 0, to: words.count, by: 2).map {
      FixedSum(whole: words[$0], fraction: words[$0 + 1])
    }
    guard
      let statistics = ModuleStatistics(
        channels: channels, bands: bands, maxima: maxima, squareSums: squareSums,
        positions: try bytes(.positions).words, histogram: try bytes(.histogram).words)
    else {
      preconditionFailure("the tensors of '\(name)' have other shapes than their entries")
    }
    return statistics
  }
}

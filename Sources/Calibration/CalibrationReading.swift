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
    let reader = MemberReader(path: path)
    let value: JSONValue
    do { value = try JSONValue(parsing: text) } catch {
      throw CalibrationError.notJSON(path: path, part: "calibration's metadata", error: error)
    }
    let object = try reader.object(value, Self.metadataKey)
    // Files of version 1 have no recorded calls.
    let hasCalls = object["version"] != 1
    if let version = object["version"], hasCalls, version != .integer(Self.version) {
      throw CalibrationError.version(path: path, found: version.text())
    }
    let metadata = try reader.members(
      object,
      [
        "version", "tool", "complete", "model", "settings", "bands", "passes", "histogram",
        "modules", "runs",
      ] + (hasCalls ? ["calls"] : []))
    let settings = try reader.settings(metadata, hasCalls: hasCalls)
    let runs = try reader.runs(metadata, ofSize: hasCalls ? nil : settings.sizes[0])
    let calls = hasCalls ? try reader.calls(metadata, runs, file) : []
    self.init(
      path: path,
      tool: try reader.string(metadata, "tool"),
      isComplete: try reader.bool(metadata, "complete"),
      model: try reader.model(metadata),
      settings: settings,
      runs: runs,
      statistics: try reader.statistics(metadata, file, calls: calls), calls: calls)
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

/// The members of a calibration.
extension MemberReader {
  func model(_ metadata: JSONObject) throws(CalibrationError) -> CalibratedModel {
    let object = try child(metadata, "model", ["component", "digest"])
    return CalibratedModel(
      component: try string(object, "component", of: "model"),
      digest: try string(object, "digest", of: "model"))
  }

  func settings(
    _ metadata: JSONObject, hasCalls: Bool
  ) throws(CalibrationError) -> CalibrationSettings {
    // Files of version 1 have one size, and no recorded calls.
    let names =
      ["steps", "scheduler", "guidance_scale"]
      + (hasCalls ? ["recorded_steps", "sizes"] : ["width", "height"])
    let object = try child(metadata, "settings", names)
    guard let guidance = object["guidance_scale"]?.number else {
      throw refuse("settings.guidance_scale", object["guidance_scale"], "a number")
    }
    return CalibrationSettings(
      steps: try integer(object, "steps", of: "settings"),
      recordedSteps: hasCalls
        ? try integer(object, "recorded_steps", of: "settings", from: 0) : 0,
      scheduler: try string(object, "scheduler", of: "settings"), guidanceScale: guidance,
      sizes: hasCalls ? try sizes(object) : [try size(object, of: "settings")])
  }

  /// - Parameter other: the size where the object states none.
  private func size(
    _ object: JSONObject, of parent: String, else other: ImageSize? = nil
  ) throws(CalibrationError) -> ImageSize {
    if let other { return other }
    return ImageSize(
      width: try integer(object, "width", of: parent),
      height: try integer(object, "height", of: parent))
  }

  private func sizes(_ settings: JSONObject) throws(CalibrationError) -> [ImageSize] {
    var sizes: [ImageSize] = []
    for value in settings["sizes"]?.array ?? [] {
      let sides = (value.array ?? []).compactMap(\.integer).filter { $0 > 0 }
      guard sides.count == 2, value.array?.count == 2 else {
        throw refuse("settings.sizes", value, "a width and a height")
      }
      sizes.append(ImageSize(width: sides[0], height: sides[1]))
    }
    if sizes.isEmpty { throw refuse("settings.sizes", settings["sizes"], "at least one size") }
    return sizes
  }

  /// - Parameter size: the size of all runs in files whose runs state none.
  func runs(
    _ metadata: JSONObject, ofSize size: ImageSize?
  ) throws(CalibrationError) -> [CalibrationRun] {
    guard let values = metadata["runs"]?.array else {
      throw refuse("runs", metadata["runs"], "an array")
    }
    var runs: [CalibrationRun] = []
    for (index, value) in values.enumerated() {
      runs.append(try run(value, "runs[\(index)]", ofSize: size))
    }
    if runs.isEmpty { throw refuse("runs", metadata["runs"], "at least one run") }
    runs.sort()
    for (run, next) in zip(runs, runs.dropFirst()) where run == next {
      throw .repeatedRun(path: path, run: run)
    }
    return runs
  }

  /// - Parameters:
  ///   - others: names of members besides those of a run.
  ///   - size: the size of a run that states none.
  func run(
    _ value: JSONValue, _ name: String, and others: [String] = [], ofSize size: ImageSize? = nil
  ) throws(CalibrationError) -> CalibrationRun {
    let run = try members(
      try object(value, name),
      ["prompt", "negative_prompt", "seed"] + (size == nil ? ["width", "height"] : []) + others,
      of: name)
    let seed = UInt64(try integer(run, "seed", of: name, from: 0))
    return CalibrationRun(
      prompt: try string(run, "prompt", of: name),
      negativePrompt: try string(run, "negative_prompt", of: name), seed: seed,
      size: try self.size(run, of: name, else: size))
  }

  /// The recorded calls, in the order of the file.
  fileprivate func calls(
    _ metadata: JSONObject, _ runs: [CalibrationRun], _ file: SafetensorsFile
  ) throws -> [ReferenceCall] {
    guard let values = metadata["calls"]?.array else {
      throw refuse("calls", metadata["calls"], "an array")
    }
    let calls = try values.enumerated().map { index, value in
      let name = "calls[\(index)]"
      let call = try members(
        try object(value, name), ["run", "step", "timestep"], of: name)
      let run = try integer(call, "run", of: name, from: 0)
      guard runs.indices.contains(run) else {
        throw refuse(name + ".run", call["run"], "the index of a run")
      }
      guard let timestep = call["timestep"]?.number, timestep.isFinite else {
        throw refuse(name + ".timestep", call["timestep"], "a finite number")
      }
      let input = try tensor(.input, of: index, file)
      func prediction(_ part: CallTensor) throws -> Tensor {
        let tensor = try tensor(part, of: index, file)
        // Inpainting models take more channels than they predict.
        if tensor.shape.extents.suffix(2) == input.shape.extents.suffix(2) { return tensor }
        throw CalibrationError.tensor(
          path: path, tensor: part.name(of: index),
          found: TensorEntry(shape: tensor.shape, encoding: .plain(.f32)),
          expected: "the height and width of \(input.shape)")
      }
      let hasGuidance = file.entry(CallTensor.unconditional.name(of: index)) != nil
      return ReferenceCall(
        run: runs[run], step: try integer(call, "step", of: name, from: 0),
        timestep: Float(timestep), input: input,
        unconditional: hasGuidance ? try prediction(.unconditional) : nil,
        conditional: try prediction(.conditional))
    }
    for (index, pair) in zip(calls, calls.dropFirst()).enumerated() where !(pair.0 < pair.1) {
      throw refuse("calls[\(index + 1)]", values[index + 1], "a call after calls[\(index)]")
    }
    return calls
  }

  private func tensor(
    _ part: CallTensor, of index: Int, _ file: SafetensorsFile
  ) throws -> Tensor {
    let name = part.name(of: index)
    guard let entry = file.entry(name) else {
      throw CalibrationError.missingTensor(path: path, tensor: name)
    }
    guard entry.encoding == .plain(.f32), entry.shape.rank == 4, entry.shape[0] == 1 else {
      throw CalibrationError.tensor(
        path: path, tensor: name, found: entry, expected: "f32 [1, channels, height, width]")
    }
    let values = try file.tensor(name).floats()
    if let value = values.first(where: { !$0.isFinite }) {
      throw CalibrationError.value(path: path, tensor: name, found: value)
    }
    return Tensor(shape: entry.shape, values: values)
  }

  fileprivate func statistics(
    _ metadata: JSONObject, _ file: SafetensorsFile, calls: [ReferenceCall]
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
    for (index, call) in calls.enumerated() {
      known.formUnion(
        CallTensor.allCases.filter { $0.tensor(of: call) != nil }.map { $0.name(of: index) })
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

private import Checkpoints
private import Kernels
internal import ModelSources
package import Models
package import Quantization
internal import Support
internal import Tensors

extension CalibrationFile {
  /// Writes the calibration to ``path`` atomically.
  ///
  /// - Parameter replacing: whether to replace an existing file.
  package func write(replacing: Bool) throws {
    try writeSafetensors(
      tensors,
      metadata: [Self.metadataKey: JSONValue.object(metadata).text()], to: path,
      replacing: replacing)
  }

  /// Bytes that the file takes at least: those of its tensors.
  package var leastBytes: Int { tensors.byteCount }

  private var tensors: CalibrationTensors {
    CalibrationTensors(location: path, statistics: statistics, calls: calls)
  }

  /// Bytes that the file of a calibration of these modules takes at least.
  package static func leastBytes(
    modules: [ModuleSpec], bands: TimestepBands = TimestepBands()
  ) -> Int {
    var bytes = 0
    for module in modules where module.kind.isMatrix {
      for tensor in StatisticsTensor.allCases {
        let shape = tensor.shape(channels: module.weight.shape[1], bands: bands.count)
        bytes += TensorEncoding.plain(tensor.kind).byteCount(for: shape) ?? 0
      }
    }
    return bytes
  }

  var metadata: JSONObject {
    [
      "version": .integer(Self.version),
      "tool": .string(tool),
      "complete": .bool(isComplete),
      "model": .object(model.json),
      "settings": .object(settings.json),
      "bands": .integers(statistics.bands.boundaries),
      "passes": Self.passes,
      "histogram": .object(Self.histogram),
      "modules": .strings(statistics.names),
      "runs": .array(runs.map { .object($0.json) }),
      "calls": .array(
        calls.map { call in
          [
            "run": .integer(runs.firstIndex(of: call.run) ?? 0), "step": .integer(call.step),
            "timestep": .number(Double(call.timestep)),
          ]
        }),
    ]
  }

  static let passes = JSONValue.array(GuidanceBranch.allCases.map { .string($0.name) })

  static let histogram: JSONObject = [
    "bins": .integer(MagnitudeBins.count), "octaves": [-24, 16], "bins_per_octave": 8,
  ]
}

extension CalibrationRun {
  var json: JSONObject {
    [
      "prompt": .string(prompt), "negative_prompt": .string(negativePrompt),
      "seed": .integer(Int(seed)), "width": .integer(size.width),
      "height": .integer(size.height),
    ]
  }
}

/// The tensors of one module in a calibration file. The raw value follows the module's name.
enum StatisticsTensor: String, CaseIterable {
  case maximum
  case energy
  case positions
  case histogram

  var kind: ElementKind { self == .maximum ? .f32 : .u64 }

  func shape(channels: Int, bands: Int) -> Shape {
    let branches = GuidanceBranch.allCases.count
    return switch self {
    case .maximum: [bands, branches, channels]
    case .energy: [bands, branches, channels, 2]
    case .positions: [bands, branches]
    case .histogram: [bands, branches, MagnitudeBins.count]
    }
  }

  func name(of module: String) -> String { module + "." + rawValue }

  func stored(_ module: ModuleStatistics) -> StoredTensor {
    let bytes =
      switch self {
      case .maximum: ByteSlice(module.maxima)
      case .energy: ByteSlice(module.squareSums.flatMap { [$0.whole, $0.fraction] })
      case .positions: ByteSlice(module.positions)
      case .histogram: ByteSlice(module.histogram)
      }
    return StoredTensor(
      shape: shape(channels: module.channels, bands: module.bands), encoding: .plain(kind),
      parts: [bytes])
  }
}

/// Statistics and calls as named tensors, each made on access.
private struct CalibrationTensors: WeightSource {
  let location: String
  private let statistics: ActivationStatistics
  /// The tensors of the calls in their order, and by name.
  private let callNames: [String]
  private let callTensors: [String: Tensor]

  init(location: String, statistics: ActivationStatistics, calls: [ReferenceCall]) {
    self.location = location
    self.statistics = statistics
    let named = calls.enumerated().flatMap { index, call in
      CallTensor.allCases.compactMap { part in
        part.tensor(of: call).map { (part.name(of: index), $0) }
      }
    }
    callNames = named.map(\.0)
    callTensors = Dictionary(uniqueKeysWithValues: named)
  }

  var names: [String] {
    statistics.names.flatMap { module in
      StatisticsTensor.allCases.map { $0.name(of: module) }
    } + callNames
  }

  private func locate(_ name: String) -> (ModuleStatistics, StatisticsTensor)? {
    guard let dot = name.lastIndex(of: "."),
      let tensor = StatisticsTensor(rawValue: String(name[name.index(after: dot)...])),
      let module = statistics[String(name[..<dot])]
    else { return nil }
    return (module, tensor)
  }

  func entry(_ name: String) -> TensorEntry? {
    if let tensor = callTensors[name] {
      return TensorEntry(shape: tensor.shape, encoding: .plain(.f32))
    }
    return locate(name).map { module, tensor in
      TensorEntry(
        shape: tensor.shape(channels: module.channels, bands: module.bands),
        encoding: .plain(tensor.kind))
    }
  }

  func tensor(_ name: String) throws -> StoredTensor {
    if let tensor = callTensors[name] {
      return StoredTensor(shape: tensor.shape, floats: tensor.values, as: .f32)
    }
    guard let (module, tensor) = locate(name) else {
      throw absent(name)
    }
    return tensor.stored(module)
  }
}

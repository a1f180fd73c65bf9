internal import ModelSources
internal import Models
internal import Quantization
private import Stripping
internal import Support
internal import Tensors

/// The layers of a U-Net whose types may be chosen, with the size and the error of each choice in one
/// output, and the size of everything else in that output.
struct Budget {
  private(set) var layers: [ModuleSpec]
  private(set) var options: [LayerOptions]
  /// Bytes of the output besides ``layers``. The text of headers and manifests is estimated.
  private(set) var fixedBytes: Double
  /// Weights of all convolutions and linear layers, with those of removed blocks: a target for the bits of
  /// a weight is one for the size of all.
  private let matrixWeights: Int
  /// Bytes of the U-Net's tensors besides those of ``layers``, by their names.
  private var fixedTensors: [String: Int]
  /// The names of convolutions and linear layers among them.
  private var fixedMatrices: Set<String>
  private let output: BudgetOutput

  /// Reads all weights of ``layers``, and of a coded output all others too.
  ///
  /// - Parameters:
  ///   - model: the model before it is quantized.
  ///   - request: the settings besides the target. Its type is that of the other weights.
  ///   - planned: the model that `request` alone makes for the output.
  init(
    _ model: ModelSource, _ unet: Model.Component, _ request: QuantizationRequest,
    planned: ModelSource, for output: BudgetOutput, _ events: EventSink
  ) throws {
    guard let choices = try request.choices(of: unet, calls: 1) else {
      throw JobError.noUNet(model.location)
    }
    layers = choices.undecided(of: unet.modules)
    if layers.isEmpty {
      throw JobError(
        "\(model.location): no layer is left whose type a target could choose",
        remedy: .leaveOut(.keep, and: [.only, .assign]))
    }
    events(.stage(.measuringTypes))
    let fitted = output.profile.fitted(planned)
    let named = Set(layers.map(\.weight.name))
    var total = layers.reduce(0) { $0 + $1.weight.shape.count }
    if output.isCoded {
      total += fitted.components.reduce(0) { $0 + $1.weights.parameterCount }
    }
    var done = 0
    func count(_ weights: Int) {
      done += weights
      events(.progress(done: min(done, total), total: total))
    }
    var options: [LayerOptions] = []
    for layer in layers {
      try Cancellation.check()
      options.append(
        try LayerOptions(
          of: layer, in: unet.weights,
          schemes: output.schemes(for: layer, rest: choices.rest),
          codedBytes: output.isCoded ? { output.codedByteCount($0) } : nil))
      count(layer.weight.shape.count)
    }
    let matrices = unet.modules.filter(\.kind.isMatrix)
    let matrixNames = Set(matrices.map(\.weight.name))
    var fixed = 0
    var fixedTensors: [String: Int] = [:]
    for component in fitted.components {
      let isUNet = component.name == unet.name
      for name in component.weights.names {
        guard let entry = component.weights.entry(name) else { continue }
        count(output.isCoded ? entry.shape.count : 0)
        if isUNet, named.contains(name) { continue }
        try Cancellation.check()
        let bytes =
          output.isCoded
          ? output.codedByteCount(try component.weights.tensor(name))
          : output.profile.stored(entry).byteCount
        fixed += bytes
        if isUNet { fixedTensors[name] = bytes }
      }
    }
    self.options = options
    self.fixedTensors = fixedTensors
    fixedMatrices = matrixNames.subtracting(named)
    fixedBytes =
      Double(fixed + output.textBytes(of: fitted, records: planned[unet.name]?.weights.names.count))
    matrixWeights = matrices.reduce(0) { $0 + $1.weight.shape.count }
    self.output = output
  }

  /// The budget of the model without removed blocks. The layers that are left have the sizes and errors of
  /// the same layers here.
  ///
  /// - Parameter teacher: the modules of the U-Net before the removal.
  func removing(_ cut: RemovalCut, from teacher: [ModuleSpec]) -> Budget {
    let origins = cut.origins(in: teacher)
    let known = Dictionary(uniqueKeysWithValues: options.map { ($0.name, $0) })
    var copy = self
    copy.layers = []
    copy.options = []
    for (module, name) in origins {
      guard let layer = known[name] else { continue }
      copy.layers.append(module)
      copy.options.append(
        LayerOptions(name: module.name, weightCount: layer.weightCount, options: layer.options))
    }
    copy.fixedTensors = [:]
    for origin in cut.plan.origins {
      if let bytes = fixedTensors[origin.teacher] { copy.fixedTensors[origin.tensor] = bytes }
    }
    copy.fixedMatrices = Set(
      cut.plan.origins.filter { fixedMatrices.contains($0.teacher) }.map(\.tensor))
    let removed = cut.plan.ledger.teacher.tensors - cut.plan.ledger.student.tensors
    copy.fixedBytes -= Double(
      fixedTensors.values.reduce(0, +) - copy.fixedTensors.values.reduce(0, +)
        + output.textBytes(ofTensors: removed, records: removed))
    return copy
  }

  /// Bytes of the convolutions and linear layers besides ``layers``.
  private var fixedMatrixBytes: Double {
    Double(fixedMatrices.reduce(0) { $0 + (fixedTensors[$1] ?? 0) })
  }

  /// Stored bits of a weight of all convolutions and linear layers.
  func bits(_ allocation: Allocation) -> Double { bits(layerBytes: allocation.bytes) }

  private func bits(layerBytes: Double) -> Double {
    8 * (fixedMatrixBytes + layerBytes) / Double(matrixWeights)
  }

  /// Bytes of ``layers`` for which all convolutions and linear layers have `bits` for a weight.
  func layerBytes(bits: Double) -> Double {
    bits * Double(matrixWeights) / 8 - fixedMatrixBytes
  }

  /// The bits of a weight of a quantized model, from its tensors.
  func measuredBits(of model: ModelSource) throws -> Double {
    guard let unet = output.profile.fitted(model)[ComponentName.unet] else { return 0 }
    var bytes = 0
    let names = Set(layers.map(\.weight.name))
    for name in unet.weights.names where names.contains(name) {
      try Cancellation.check()
      bytes += output.codedByteCount(try unet.weights.tensor(name))
    }
    return bits(layerBytes: Double(bytes))
  }

  /// The choices of an allocation, by the names of modules.
  func chosen(_ allocation: Allocation) -> [String: ChosenScheme] {
    Dictionary(
      uniqueKeysWithValues: allocation.options.map {
        ($0.name, ChosenScheme(scheme: $0.option.scheme, reason: "chosen for the target"))
      })
  }

  func curve(_ errors: GuidedErrors) -> AllocationCurve {
    let modules = Dictionary(uniqueKeysWithValues: layers.map { ($0.name, $0) })
    return AllocationCurve(options) { layer in
      modules[layer.name].map(errors.sensitivity) ?? 1
    }
  }
}

extension GuidedErrors {
  /// The predicted error of an allocation; `nil` where nothing was measured.
  func predicted(_ allocation: Allocation) -> Double? {
    predicted(allocation.options.lazy.map { ($0.name, $0.option.squaredStep) })
  }
}

/// The output that a budget is for.
struct BudgetOutput {
  let layout: LayoutRequest
  let writer: any ModelWriter
  let profile: any OutputProfile

  init(_ layout: LayoutRequest, _ writer: any ModelWriter) throws {
    self.layout = layout
    self.writer = writer
    profile = try writer.profile(layout.options)
  }

  /// Whether numbers are coded without loss, so that their sizes depend on their values.
  var isCoded: Bool { writer.settings.contains(.coding) && layout.options.codes != false }

  func codedByteCount(_ tensor: StoredTensor) -> Int {
    writer.codedByteCount(of: tensor, options: layout.options) ?? tensor.byteCount
  }

  /// The most weights of a layer for which packed types are tried in a coded output: codes of small
  /// layers are coded badly, or not at all.
  private static let fewWeights = 1 << 14

  /// The schemes that the output can hold a layer in.
  ///
  /// Coded outputs have integer codes with chosen steps; others every type that the program reads.
  func schemes(for layer: ModuleSpec, rest: any Scheme) -> [any Scheme] {
    let shape = layer.weight.shape
    var all: [any Scheme] = []
    if isCoded {
      all = SteppedScheme.bases.flatMap { base in
        SteppedScheme.steps.map { SteppedScheme(base, step: $0) }
      }
    }
    if !isCoded || shape.count <= Self.fewWeights {
      all += Schemes.all.filter { $0.encoding.codeFormat?.isRotated == false }
    }
    return all.filter { scheme in
      profile.reads(
        TensorEntry(shape: shape, encoding: scheme.encoding), of: layer.weight.name,
        in: ComponentName.unet)
    } + [rest]
  }

  /// Names of the programs that compute on a GPU.
  var gpuPrograms: [String] {
    let profiles = Layouts.writers.flatMap(\.profiles)
    return programNames.filter { name in profiles.contains { $0.name == name && $0.usesGPU } }
  }

  /// About the bytes of everything that is not a tensor: headers, the manifest with the ledger, and
  /// small files.
  ///
  /// - Parameter records: the tensors of which a ledger has a record.
  fileprivate func textBytes(of model: ModelSource, records: Int?) -> Int {
    let files = model.files.reduce(0) { $0 + $1.bytes.count }
    let tensors = model.components.reduce(0) { $0 + $1.weights.names.count }
    return textBytes(ofTensors: tensors, records: records ?? 0) + (isCompressed ? files / 2 : files)
  }

  /// Text compresses to less than a half.
  private var isCompressed: Bool { isCoded || writer.recordsParity }

  /// About the bytes of the text about tensors, measured on models of two sizes.
  ///
  /// - Parameter records: the tensors of which a ledger has a record.
  fileprivate func textBytes(ofTensors tensors: Int, records: Int) -> Int {
    isCompressed ? 200 * tensors + 380 * records : 110 * tensors
  }
}

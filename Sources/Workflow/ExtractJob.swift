private import Checkpoints
internal import ModelSources
private import Models
private import Quantization
internal import Support
internal import Tensors

/// A component that programs load from a file of its own.
package enum ModelPart: String, CaseIterable, Sendable {
  /// OpenAI's CLIP-L: the text encoder of Stable Diffusion 1, and the first one of SDXL.
  case clipL = "clip-l"
  /// OpenCLIP-G: the second text encoder of SDXL, and the only one of its refiner.
  case clipG = "clip-g"
  /// The only or first text encoder, such as Stable Diffusion 2's OpenCLIP-H.
  case textEncoder = "text-encoder"
  case vae, unet

  package static let names = allCases.map(\.rawValue)

  /// The part of that name, in any case; `nil` for another name.
  package static func named(_ name: String) -> ModelPart? {
    member(named: name, of: allCases) { [$0.rawValue] }
  }

  /// The component of a model; `nil` where the model has none.
  func component(of model: ModelSource) -> ModelSource.Component? {
    let texts = ComponentName.textEncoders.compactMap { model[$0] }
    return switch self {
    case .clipL: texts.first { !$0.isOpenCLIP }
    case .clipG: texts.first { $0.isOpenCLIP && $0.name == ComponentName.textEncoder2 }
    case .textEncoder: texts.first
    case .vae: model[ComponentName.vae]
    case .unet: model[ComponentName.unet]
    }
  }

  /// The parts that a model has.
  static func all(of model: ModelSource) -> [ModelPart] {
    allCases.filter { $0.component(of: model) != nil }
  }

  /// What a program needs beside the U-Net: each other component of a model once.
  static func besidesUNet(of model: ModelSource) -> [ModelPart] {
    var seen: Set = [ComponentName.unet]
    return all(of: model).filter { part in
      part.component(of: model).map { seen.insert($0.name).inserted } ?? false
    }
  }
}

/// Writes one component of a model as a safetensors file, as ComfyUI and stable-diffusion.cpp load
/// it.
package struct ExtractJob: Job {
  private let model: String
  private let reading: InputOptions
  private let part: ModelPart
  private let output: OutputRequest
  private let type: String?

  /// - Parameters:
  ///   - output: the safetensors file to write.
  ///   - program: the name of an output profile: one of ``componentProgramNames``.
  ///   - type: a type for all weights, or a quantized one for a U-Net's layers; `nil` keeps every
  ///     bit.
  package init(
    model: String, reading: InputOptions, part: ModelPart, output: String, program: String? = nil,
    replacing: Bool, type: String?
  ) {
    self.model = model
    self.reading = reading
    self.part = part
    self.output = OutputRequest(
      path: output, layout: LayoutRequest(program: program), replacing: replacing)
    self.type = type
  }

  package func perform(_ events: @escaping EventSink) async throws -> WrittenModel {
    let writer = Writers.component
    try refuseOverwriting(
      output.path, replacing: output.replacing, inputs: [model] + reading.composition.inputs)
    guard writer.claims(output.path) else {
      throw JobError(
        "\(output.path): a \(writer.layout) has another name; expected one that ends in "
          + ".safetensors", remedy: .renameOutput)
    }
    try output.layout.check(writer, output: output.path)
    let scheme = try type.map { try namedScheme($0) }
    let source = try ModelSource.reading(
      model, reading, keepingKinds: type == nil, changes: .listed, events)
    guard let component = part.component(of: source) else {
      throw JobError(
        "\(model): the model has no \(part.rawValue)",
        remedy: .choose(.component, ModelPart.all(of: source).map(\.rawValue)))
    }
    // Other components may have faults.
    try component.check(in: source.location)
    var alone = source
    alone.components = [component]
    alone.changes.removeAll { $0.component != nil && $0.component != component.name }
    try output.checkLoadable(alone, by: writer)
    var details: [(name: String, json: JSONValue, text: String)] = []
    if let scheme, scheme.encoding.isQuantized {
      let quantized = try quantized(alone, component, to: scheme, by: writer, events)
      alone = quantized.model
      details.append(quantized.detail)
    } else if let scheme {
      alone = alone.cast(to: scheme, of: try? Model.bind(source))
    }
    try output.checkEncodings(alone, by: writer, offersTypes: true)
    try output.write(alone, by: writer, events)
    var outcome = WrittenModel(before: source, after: alone, output: output, by: writer)
    // No program makes an image with one component.
    outcome.memory = nil
    outcome.details += details
    return outcome
  }

  /// The U-Net with its layers quantized.
  ///
  /// - Throws: ``JobError`` for another component, and for a type that the file cannot hold.
  private func quantized(
    _ alone: ModelSource, _ component: ModelSource.Component, to scheme: any Scheme,
    by writer: any ModelWriter, _ events: @escaping EventSink
  ) throws -> QuantizedModel {
    guard component.name == ComponentName.unet else {
      throw JobError(
        "\(output.path): a \(writer.layout) cannot hold \(scheme.name) weights of component "
          + "'\(component.name)'", remedy: .choose(.type, [Schemes.half.name]))
    }
    return try QuantizedModel(
      alone, QuantizationRequest(type: scheme.name), orPart: true, sparingOutliers: events
    ) {
      try output.fitting($0, of: $1, in: alone, by: writer, rest: $2)
    }
  }
}

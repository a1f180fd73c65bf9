private import Checkpoints
private import Execution
private import Kernels
internal import ModelSources
private import Models
package import Support
internal import Tensors

/// Runs one component of a model on given tensors.
package struct ForwardJob: Job {
  package enum Component: String, CaseIterable, Sendable {
    case unet
    case vaeDecoder = "vae-decoder"
    case vaeEncoder = "vae-encoder"
    case textEncoder = "text-encoder"
    case textEncoder2 = "text-encoder-2"

    package static let names = allCases.map(\.rawValue)
  }

  private let model: String
  private let reading: InputOptions
  private let compute: Compute
  private let component: Component
  private let inputs: String
  private let output: String
  private let replacing: Bool

  /// - Parameters:
  ///   - inputs: a safetensors file with the component's arguments under diffusers' names.
  ///   - output: the safetensors file to write.
  package init(
    model: String, reading: InputOptions, compute: Compute, component: Component,
    inputs: String, output: String, replacing: Bool
  ) {
    self.model = model
    self.reading = reading
    self.compute = compute
    self.component = component
    self.inputs = inputs
    self.output = output
    self.replacing = replacing
  }

  package func perform(_ events: @escaping EventSink) async throws -> ForwardOutcome {
    try refuseOverwriting(
      output, replacing: replacing, inputs: [model, inputs] + reading.composition.inputs)
    let arguments = try Arguments(SafetensorsFile(path: inputs), of: component)
    let part = try self.part(of: try ModelSource.reading(model, reading))
    try checkMemory(for: part, arguments)
    events(.stage(.computing(component)))
    let results: [(String, Tensor)]
    do {
      results = try interruptible { try evaluate(part, arguments) }
    } catch let error as InputError {
      throw JobError("\(inputs): \(error)")
    }
    try writeSafetensors(
      MemorySource(location: output, results.map { ($0.0, StoredTensor($0.1)) }),
      to: output, replacing: replacing)
    return ForwardOutcome(path: output, tensors: results.map { ($0.0, $0.1.shape) })
  }

  /// The component to run. Only this component is checked; the model may be incomplete.
  private func part(of source: ModelSource) throws -> ModelSource.Component {
    guard let part = source[component.part] else {
      throw JobError(
        "\(source.location): the model has no component '\(component.part)'; found "
          + listed(source.components.map(\.name)))
    }
    try part.check(in: source.location)
    return part
  }

  /// Refuses inputs for which the memory does not suffice. Inputs of another rank than the component
  /// takes are refused when it runs.
  private func checkMemory(for part: ModelSource.Component, _ arguments: Arguments) throws {
    guard let name = component.inputs.required.first, let shape = arguments.shape(name),
      shape.rank == (component.isText ? 2 : 4)
    else { return }
    let (config, location) = (part.config, part.weights.location)
    let batch = shape[0]
    func size() -> ImageSize { ImageSize(width: shape[3], height: shape[2]) }
    let activations =
      switch component {
      case .unet:
        LeastActivations.unet(
          try UNetConfig(json: config, location: location), latent: size(), batch: batch)
      case .vaeDecoder:
        LeastActivations.decoder(
          try VAEConfig(json: config, location: location), latent: size(), batch: batch)
      case .vaeEncoder:
        LeastActivations.encoder(
          try VAEConfig(json: config, location: location), image: size(), batch: batch)
      case .textEncoder, .textEncoder2:
        LeastActivations.text(
          try TextEncoderConfig(json: config, location: location, className: part.className),
          tokens: shape[1], batch: batch)
      }
    try requireMemory(
      for: "\(inputs): computing '\(name)' \(shape)",
      [ComponentMemory(name: component.rawValue, activations: activations)],
      remedy: .act("use a smaller input"))
  }

  private func evaluate(
    _ part: ModelSource.Component, _ arguments: Arguments
  ) throws -> [(String, Tensor)] {
    let (config, location) = (part.config, part.weights.location)
    func autoencoder() throws -> VAEConfig { try VAEConfig(json: config, location: location) }
    switch component {
    case .unet:
      let added: UNet.AddedConditioning? =
        switch (
          try arguments.tensor(optional: "text_embeds"), try arguments.tensor(optional: "time_ids")
        ) {
        case (let text?, let times?): UNet.AddedConditioning(textEmbeds: text, timeIDs: times)
        case (nil, nil): nil
        case (let text, _):
          throw InputError(
            input: text == nil ? "time_ids" : "text_embeds", found: "given alone",
            expected: "text_embeds and time_ids together")
        }
      let unet = try UNet(
        config: UNetConfig(json: config, location: location), weights: part.weights,
        arithmetic: compute.arithmetic)
      let sample = try unet(
        sample: arguments.tensor("sample"), timesteps: arguments.tensor("timestep").values,
        encoderHiddenStates: arguments.tensor("encoder_hidden_states"),
        timestepCondition: arguments.tensor(optional: "timestep_cond"), added: added)
      return [("sample", sample)]
    case .vaeDecoder:
      let decoder = try VAEDecoder(
        config: autoencoder(), weights: part.weights, arithmetic: compute.arithmetic)
      return [("image", try decoder.decode(arguments.tensor("latent")))]
    case .vaeEncoder:
      let encoder = try VAEEncoder(
        config: autoencoder(), weights: part.weights, arithmetic: compute.arithmetic)
      let (mean, logvar) = try encoder.encode(arguments.tensor("image"))
      return [("mean", mean), ("logvar", logvar)]
    case .textEncoder, .textEncoder2: return try encode(part, arguments)
    }
  }

  private func encode(
    _ part: ModelSource.Component, _ arguments: Arguments
  ) throws -> [(String, Tensor)] {
    let config = try TextEncoderConfig(
      json: part.config, location: part.weights.location, className: part.className)
    let ids = try arguments.tensor("input_ids")
    guard ids.shape.rank == 2, ids.shape.count > 0 else {
      throw InputError(
        input: "input_ids", found: ids.shape.description, expected: "[batch, tokens]")
    }
    let length = ids.shape[1]
    let rows = try (0..<ids.shape[0]).map { row in
      try ids.values[row * length..<(row + 1) * length].map { value in
        guard let token = Int(exactly: value) else {
          throw InputError(input: "input_ids", found: "\(value)", expected: "whole numbers")
        }
        return token
      }
    }
    let encoder = try TextEncoder(config: config, weights: part.weights)
    let output = try encoder(inputIDs: rows)
    var results = [
      ("last_hidden_state", output.lastHiddenState), ("pooler_output", output.poolerOutput),
    ]
    for (layer, state) in output.hiddenStates.enumerated() {
      results.append(("hidden_states.\(layer)", state))
    }
    if let embeds = output.textEmbeds { results.append(("text_embeds", embeds)) }
    return results
  }
}

extension ForwardJob.Component {
  /// The name of the model's component.
  fileprivate var part: String {
    switch self {
    case .unet: ComponentName.unet
    case .vaeDecoder, .vaeEncoder: ComponentName.vae
    case .textEncoder: ComponentName.textEncoder
    case .textEncoder2: ComponentName.textEncoder2
    }
  }

  fileprivate var isText: Bool { [.textEncoder, .textEncoder2].contains(self) }

  /// The names of the component's arguments; those in `optional` may be absent.
  fileprivate var inputs: (required: [String], optional: [String]) {
    switch self {
    case .unet:
      (
        ["sample", "timestep", "encoder_hidden_states"],
        ["text_embeds", "time_ids", "timestep_cond"]
      )
    case .vaeDecoder: (["latent"], [])
    case .vaeEncoder: (["image"], [])
    case .textEncoder, .textEncoder2: (["input_ids"], [])
    }
  }
}

/// A component's arguments, read from a file.
private struct Arguments {
  private let file: SafetensorsFile

  /// - Throws: ``JobError`` when arguments are missing or unknown.
  init(_ file: SafetensorsFile, of component: ForwardJob.Component) throws {
    let (required, optional) = component.inputs
    let missing = required.filter { file.entry($0) == nil }
    let extra = file.names.filter { !(required + optional).contains($0) }
    guard missing.isEmpty, extra.isEmpty else {
      let found = shortlist(file.names)
      let also =
        optional.isEmpty ? "" : " (optional, depending on the model: \(listed(optional)))"
      throw JobError(
        "\(file.path): \(component.rawValue) expects \(listed(required))\(also); found \(found)")
    }
    self.file = file
  }

  func shape(_ name: String) -> Shape? { file.entry(name)?.shape }

  func tensor(_ name: String) throws -> Tensor {
    let tensor = try file.tensor(name)
    guard case .plain(let kind) = tensor.encoding, kind.isWidenable else {
      throw InputError(input: name, found: tensor.encoding.name, expected: "numbers")
    }
    return tensor.widened()
  }

  func tensor(optional name: String) throws -> Tensor? {
    file.entry(name) == nil ? nil : try tensor(name)
  }
}

/// The tensors that `forward` wrote.
package struct ForwardOutcome: JobOutcome {
  let path: String
  let tensors: [(name: String, shape: Shape)]

  package var json: JSONValue {
    [
      "output": .string(path),
      "tensors": .array(
        tensors.map {
          [
            "name": .string($0.name),
            "shape": .integers($0.shape.extents),
          ]
        }),
    ]
  }

  package var text: String {
    "\(path): " + tensors.map { "\($0.name) \($0.shape)" }.joined(separator: ", ")
  }
}

package import ModelSources
package import Support
internal import Tensors

/// The memory that a program needs to make one image from a text with a model: weights as they are
/// stored, and activations.
///
/// Weights are summed from the entries of the tensors, and activations from the configs. No weights
/// are read. The memory of the program itself and of the graphics driver is not part of it.
package struct MemoryEstimate: Hashable, Sendable {
  /// A part of making an image, with what is in memory then.
  package struct Phase: Hashable, Sendable {
    package enum Name: String, Sendable {
      case text = "text encoders"
      case unet = "U-Net"
      case decoder = "VAE decoder"
    }

    package let name: Name
    /// Bytes of the weights in memory.
    package let weights: Int
    /// Bytes of the widened copy of the layer with the most quantized weights.
    package let widenedLayer: Int
    package let activations: Int

    package var total: Int { weights + widenedLayer + activations }
  }

  /// In the order of time; without those whose components the model lacks.
  package let phases: [Phase]

  /// The phase that needs the most memory; `nil` for a model without components.
  package var peak: Phase? { phases.max { $0.total < $1.total } }

  /// - Parameter size: the size of the image in pixels.
  package init(
    _ model: ModelSource, in program: ProgramMemory, size: ImageSize
  ) throws(ConfigError) {
    let unet = try model[ComponentName.unet].map { component throws(ConfigError) in
      try UNetConfig(json: component.config, location: model.location)
    }
    let vae = try model[ComponentName.vae].map { component throws(ConfigError) in
      try VAEConfig(json: component.config, location: model.location)
    }
    let factor = vae?.downsamplingFactor ?? 8
    // An autoencoder that overflows in float16 is widened as a whole.
    let isWidened = vae?.overflowsHalf(in: Architectures.of(model.components)) == true
    let decoderWidth = isWidened ? max(4, program.activationBytes) : program.activationBytes
    let texts = model.components.filter { ComponentName.textEncoders.contains($0.name) }

    func resident(during components: [ModelSource.Component]) -> Int {
      let held = program.residency == .allComponents ? model.components : components
      return held.reduce(0) { total, component in
        let isDecoding = components.contains { $0.name == ComponentName.vae }
        let least = isWidened && isDecoding && component.name == ComponentName.vae ? 4 : 0
        return total + component.loadedBytes(program, atLeast: least)
      }
    }
    var phases: [Phase] = []
    func add(_ name: Phase.Name, _ components: [ModelSource.Component], activations: Int) {
      phases.append(
        Phase(
          name: name, weights: resident(during: components),
          widenedLayer: components.map { $0.largestWidenedLayer(in: program) }.max() ?? 0,
          activations: activations))
    }

    // The activations of a text are a few megabytes.
    if !texts.isEmpty { add(.text, texts, activations: 0) }
    if let unet, let component = model[ComponentName.unet] {
      var walk = ActivationWalk(
        program, batch: program.batchesGuidance ? 2 : 1, width: program.activationBytes,
        multipliesIntegers: component.hasIntegerProducts(in: program))
      walk.unet(UNetSpec(unet), latent: size.latent(by: factor))
      add(.unet, [component], activations: walk.peak)
    }
    if let vae, let component = model[ComponentName.vae] {
      var walk = ActivationWalk(program, batch: 1, width: decoderWidth)
      walk.decoder(VAESpec(vae).decoder, latent: size.tile(program.decoderTile).latent(by: factor))
      add(.decoder, [component], activations: walk.peak)
    }
    self.phases = phases
  }
}

extension ImageSize {
  /// The largest tile of that side; the whole image where there are no tiles.
  fileprivate func tile(_ side: Int?) -> ImageSize {
    guard let side else { return self }
    return ImageSize(width: min(side, width), height: min(side, height))
  }
}

extension ModelSource.Component {
  /// Bytes of the weights that a program loads, each number of at least `width` bytes.
  fileprivate func loadedBytes(_ program: ProgramMemory, atLeast width: Int) -> Int {
    weights.names.reduce(0) { total, name in
      let isEncoder =
        self.name == ComponentName.vae
        && (name.hasPrefix("encoder.") || name.hasPrefix("quant_conv."))
      guard program.loadsEncoder || !isEncoder, let entry = weights.entry(name) else {
        return total
      }
      return total + max(entry.byteCount, width * entry.shape.count)
    }
  }

  /// Bytes of the largest copy of a layer's weights that a program widens for a product.
  fileprivate func largestWidenedLayer(in program: ProgramMemory) -> Int {
    weights.entries.map { entry in
      guard case .widenedByLayer(let bytes) = program.products(of: entry.encoding) else { return 0 }
      return bytes * entry.shape.count
    }.max() ?? 0
  }

  /// Whether a program multiplies int8 activations by weights of the component.
  fileprivate func hasIntegerProducts(in program: ProgramMemory) -> Bool {
    weights.entries.contains { program.products(of: $0.encoding) == .integers }
  }
}

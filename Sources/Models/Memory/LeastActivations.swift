internal import ModelSources
package import Support

/// Lower bounds for the bytes of the feature maps that Decant holds at once while it runs a component in
/// float32, and multiplies int8 weights by float32 or int8 activations.
///
/// Decant releases a layer's input earlier than diffusers, and computes GEGLU in one step. Measured, a
/// U-Net of SD 1 takes 0.69 of the bytes of an ``ActivationWalk``, the decoder 0.79 to 0.84, and the
/// encoder 0.75. The bounds are lower, because other architectures have other shares of attention.
package enum LeastActivations {
  private static let program = ProgramMemory(activationBytes: 4)

  /// - Parameters:
  ///   - latent: width and height in latent pixels.
  ///   - batch: images times branches of guidance in one call.
  /// - Returns: bytes.
  package static func unet(_ config: UNetConfig, latent: ImageSize, batch: Int) -> Int {
    var walk = ActivationWalk(program, batch: batch, width: program.activationBytes)
    walk.unet(UNetSpec(config), latent: latent)
    return walk.peak / 2
  }

  /// - Parameters:
  ///   - latent: width and height in latent pixels.
  ///   - batch: images.
  /// - Returns: bytes.
  package static func decoder(_ config: VAEConfig, latent: ImageSize, batch: Int = 1) -> Int {
    var walk = ActivationWalk(program, batch: batch, width: program.activationBytes)
    walk.decoder(VAESpec(config).decoder, latent: latent)
    return walk.peak / 4 * 3
  }

  /// - Parameters:
  ///   - image: the size in pixels.
  ///   - batch: images.
  /// - Returns: bytes.
  package static func encoder(_ config: VAEConfig, image: ImageSize, batch: Int = 1) -> Int {
    var walk = ActivationWalk(program, batch: batch, width: program.activationBytes)
    walk.encoder(VAESpec(config).encoder, image: image)
    return walk.peak / 3 * 2
  }

  /// The outputs of all layers, which a text encoder returns.
  ///
  /// - Parameters:
  ///   - tokens: tokens of each prompt.
  ///   - batch: prompts.
  /// - Returns: bytes of [batch, tokens, hiddenSize] in float32 for each layer.
  package static func text(_ config: TextEncoderConfig, tokens: Int, batch: Int) -> Int {
    product(batch, tokens, config.hiddenSize, config.hiddenLayers, program.activationBytes)
  }
}

package import Kernels
package import ModelSources
package import Models
internal import Support
package import Tensors

/// Predicts the noise in a latent (Ho et al. 2020; Rombach et al. 2022): diffusers'
/// `UNet2DConditionModel`.
///
/// Weights stay in their storage format and are widened to float32 a tile at a time.
package struct UNet: Sendable {
  /// The conditioning that SDXL adds to the time embedding: diffusers' `added_cond_kwargs`.
  package struct AddedConditioning: Sendable {
    /// The pooled text, [B, P].
    package let textEmbeds: Tensor
    /// The original size, the crop and the target size, [B, 6].
    package let timeIDs: Tensor

    package init(textEmbeds: Tensor, timeIDs: Tensor) {
      self.textEmbeds = textEmbeds
      self.timeIDs = timeIDs
    }
  }

  /// A block of resnets, each followed by a transformer or none, and a resampler.
  private struct Block: Sendable {
    let resnets: [Resnet]
    let attentions: [Transformer]
    let resampler: Resampler?

    init(
      _ resnets: [ResnetSpec], _ attentions: [TransformerSpec], _ resampler: ResamplerSpec?,
      _ weights: any WeightSource, _ arithmetic: Arithmetic
    ) throws {
      self.resnets = try resnets.map { try Resnet($0, weights, arithmetic) }
      self.attentions = try attentions.map { try Transformer($0, weights, arithmetic) }
      self.resampler = try resampler.map { try Resampler($0, weights, arithmetic) }
    }

    /// Runs a resnet and the transformer after it.
    func run(
      _ index: Int, _ x: consuming Tensor, text: Tensor, time: Tensor,
      _ observer: (any ActivationObserver)?
    ) throws -> Tensor {
      let x = try resnets[index](consume x, time: time, observer)
      return attentions.isEmpty ? x : try attentions[index](x, text: text, observer)
    }
  }

  package let spec: UNetSpec
  private let downsamplingFactor: Int
  private let convIn: Convolution
  private let timeEmbedding: TimeEmbedding
  private let addEmbedding: TimeEmbedding?
  private let downBlocks: [Block]
  private let midBlock: Block?
  private let upBlocks: [Block]
  private let convNormOut: GroupNorm
  private let convOut: Convolution
  /// What ``callAsFunction`` runs between the first and the last convolution, in order.
  private let stages: [UNetStage]

  /// - Throws: what `weights` throws, ``WeightError`` when a tensor has another shape, or
  ///   `CancellationError`.
  package init(
    config: UNetConfig, weights: any WeightSource, arithmetic: Arithmetic = .f32
  ) throws {
    keepHeap()
    let spec = UNetSpec(config)
    self.spec = spec
    downsamplingFactor = config.downsamplingFactor
    convIn = try Convolution(spec.convIn, weights, arithmetic)
    timeEmbedding = try TimeEmbedding(spec.timeEmbedding, weights)
    addEmbedding = try spec.addedEmbedding.map { try TimeEmbedding($0.embedding, weights) }
    downBlocks = try spec.downBlocks.map {
      try Block($0.resnets, $0.attentions, $0.downsampler, weights, arithmetic)
    }
    midBlock = try spec.midBlock.map {
      try Block($0.resnets, $0.attentions, nil, weights, arithmetic)
    }
    upBlocks = try spec.upBlocks.map {
      try Block($0.resnets, $0.attentions, $0.upsampler, weights, arithmetic)
    }
    convNormOut = try GroupNorm(spec.convNormOut, weights)
    convOut = try Convolution(spec.convOut, weights, arithmetic)
    stages = UNetStage.stages(of: spec)
  }

  package init(_ model: Model, arithmetic: Arithmetic = .f32) throws {
    try self.init(
      config: model.unet, weights: model.weights(of: ComponentName.unet), arithmetic: arithmetic)
  }

  /// Computes the U-Net's prediction for `sample`.
  ///
  /// - Parameters:
  ///   - sample: the noisy latent, [B, C, H, W], of any size.
  ///   - timesteps: one for all images, or one for each.
  ///   - encoderHiddenStates: the output of the text encoders, [B, words, D].
  ///   - timestepCondition: the guidance embedding of latent consistency models, [B, width].
  ///   - added: the added conditioning of SDXL; required if the config has `addition_embed_type`.
  ///   - state: a state of an earlier call with the same inputs, to continue from; `nil` begins with
  ///     the first convolution.
  ///   - recording: called with the state before each stage.
  /// - Returns: [B, out channels, H, W].
  /// - Throws: ``InputError`` for an input of another shape; `CancellationError`.
  package func callAsFunction(
    sample: Tensor, timesteps: [Float], encoderHiddenStates: Tensor,
    timestepCondition: Tensor? = nil, added: AddedConditioning? = nil,
    from state: UNetState? = nil, recording: ((UNetState) throws -> Void)? = nil,
    observer: (any ActivationObserver)? = nil
  ) throws -> Tensor {
    try checkInputs(sample, timesteps, encoderHiddenStates, timestepCondition, added)
    let text = transposed(encoderHiddenStates)
    let time = try embedTime(
      timesteps, batch: sample.shape[0], condition: timestepCondition, added: added, observer)

    var state = try state ?? start(sample, observer)
    while state.stage < stages.count {
      try recording?(state)
      try run(stages[state.stage], &state, text: text, time: time, observer)
      state.stage += 1
    }
    try recording?(state)
    let output = try convOut(convNormOut(state.x, silu: true), observer)
    observer.ran("conv_out", output)
    return output
  }

  private func start(
    _ sample: Tensor, _ observer: (any ActivationObserver)?
  ) throws -> UNetState {
    let x = try convIn(spec.centerInputSample ? centered(sample) : sample, observer)
    observer.ran("conv_in", x)
    return UNetState(stage: 0, x: x, skips: [x])
  }

  private func run(
    _ stage: UNetStage, _ state: inout UNetState, text: Tensor, time: Tensor,
    _ observer: (any ActivationObserver)?
  ) throws {
    // Taken out of the state, so that layers can reuse its memory.
    var x = state.takeX()
    switch stage {
    case .down(let block, let index):
      x = try downBlocks[block].run(index, consume x, text: text, time: time, observer)
      state.skips.append(x)
    case .downsampler(let block):
      if let downsampler = downBlocks[block].resampler { x = try downsampler(x, observer) }
      state.skips.append(x)
    case .middle(let index):
      if let midBlock {
        if index > 0 { x = try midBlock.attentions[index - 1](x, text: text, observer) }
        x = try midBlock.resnets[index](consume x, time: time, observer)
      }
    case .up(let block, let index):
      x = concatenateChannels(x, state.skips.removeLast())
      x = try upBlocks[block].run(index, consume x, text: text, time: time, observer)
    case .upsampler(let block):
      if let upsampler = upBlocks[block].resampler, let skip = state.skips.last {
        // Twice the size, or one less where a downsampler rounded a side up.
        let (height, width) = (skip.shape[2], skip.shape[3])
        x = try upsampler(upsampleNearest(x, height: height, width: width), observer)
      }
    }
    state.x = x
  }

  /// The time embedding after SiLU, [B, D], the input of every resnet.
  private func embedTime(
    _ timesteps: [Float], batch: Int, condition: Tensor?, added: AddedConditioning?,
    _ observer: (any ActivationObserver)?
  ) throws -> Tensor {
    let steps =
      timesteps.count == batch ? timesteps : [Float](repeating: timesteps[0], count: batch)
    var embedding = try timeEmbedding(
      sineEmbedding(steps, spec.timeSines), condition: condition, observer)
    observer.ran("time_embedding", embedding)
    if let addEmbedding, let addedSpec = spec.addedEmbedding, let added {
      let sines = sineEmbedding(added.timeIDs.values, addedSpec.sines)
      let row = sines.shape.count / batch
      let width = added.textEmbeds.shape[1]
      var values: [Float] = []
      for image in 0..<batch {
        values += added.textEmbeds.values[image * width..<(image + 1) * width]
        values += sines.values[image * row..<(image + 1) * row]
      }
      let extra = try addEmbedding(
        Tensor(shape: [batch, width + row], values: values), observer)
      observer.ran("add_embedding", extra)
      embedding = add(extra, embedding)
    }
    return silu(embedding)
  }

  private func checkInputs(
    _ sample: Tensor, _ timesteps: [Float], _ text: Tensor, _ condition: Tensor?,
    _ added: AddedConditioning?
  ) throws(InputError) {
    try check(
      sample, "sample",
      [("batch", nil), ("channels", spec.inChannels), ("height", nil), ("width", nil)])
    let batch = sample.shape[0]
    let side = min(sample.shape[2], sample.shape[3])
    // With padding, a side of 1 stays 1 in a downsampler; without, it cannot be downsampled.
    let smallest = spec.downsamplesWithPadding ? 1 : downsamplingFactor
    guard side >= smallest else {
      throw InputError(
        input: "sample", found: sample.shape.description,
        expected: "sides of at least \(smallest)")
    }
    guard timesteps.count == 1 || timesteps.count == batch else {
      throw InputError(
        input: "timestep", found: "\(timesteps.count) numbers",
        expected: batch == 1 ? "1" : "1, or \(batch) (one for each sample)")
    }
    try check(
      text, "encoder_hidden_states",
      [("batch", batch), ("words", nil), ("features", spec.textWidth)])
    if let condition {
      guard let projection = spec.timeEmbedding.conditionProjection else {
        throw InputError(
          input: "timestep_cond", found: condition.shape.description,
          expected: "nothing, because the config has no 'time_cond_proj_dim'")
      }
      try check(
        condition, "timestep_cond",
        [("batch", batch), ("features", projection.module.weight.shape[1])])
    }
    switch (spec.addedEmbedding, added) {
    case (nil, nil): break
    case (nil, let added?):
      throw InputError(
        input: "text_embeds", found: added.textEmbeds.shape.description,
        expected: "nothing, because the config has no 'addition_embed_type'")
    case (_?, nil):
      throw InputError(
        input: "text_embeds", found: "absent",
        expected: "pooled text and 'time_ids', because the config has 'addition_embed_type'")
    case (let addedSpec?, let added?):
      try check(added.textEmbeds, "text_embeds", [("batch", batch), ("features", nil)])
      let identifiers =
        (addedSpec.inputWidth - added.textEmbeds.shape[1]) / addedSpec.sines.width
      try check(added.timeIDs, "time_ids", [("batch", batch), ("numbers", identifiers)])
      let width = added.textEmbeds.shape[1] + identifiers * addedSpec.sines.width
      guard width == addedSpec.inputWidth else {
        throw InputError(
          input: "text_embeds", found: added.textEmbeds.shape.description,
          expected: "a width that fills \(addedSpec.inputWidth) with 'time_ids'")
      }
    }
  }
}

extension UNetSpec {
  /// Whether all downsamplers pad the image with zeros on all sides.
  fileprivate var downsamplesWithPadding: Bool {
    downBlocks.allSatisfy { $0.downsampler?.conv.window.paddingBefore != 0 }
  }
}

/// `2 x - 1`: maps numbers from 0...1 to -1...1.
private func centered(_ x: Tensor) -> Tensor {
  Tensor(shape: x.shape, values: x.values.map { 2 * $0 - 1 })
}

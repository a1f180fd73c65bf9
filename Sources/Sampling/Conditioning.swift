private import Foundation
internal import ModelSources
import Models
internal import Support
package import Tensors

extension Sampler {
  /// The U-Net's inputs besides latents and timestep, and the guidance scale.
  package struct Conditioning: Sendable {
    /// The U-Net's inputs for one branch of classifier-free guidance.
    package struct Inputs: Sendable {
      /// `encoder_hidden_states`, [1, tokens, D].
      package let states: Tensor
      /// SDXL's `added_cond_kwargs`: `text_embeds` [1, P] and `time_ids` [1, count].
      package let added: (pooled: Tensor, timeIDs: Tensor)?
    }

    /// Inputs for the prompt.
    package let conditional: Inputs
    /// Inputs for the negative prompt; `nil` without guidance.
    package let unconditional: Inputs?
    package let guidanceScale: Float
    /// The guidance scale as `timestep_cond` of latent consistency models, [1, width].
    let guidanceEmbedding: Tensor?
    /// Channels that inpainting models take after the latents, [1, channels, h, w]: the mask, then
    /// the latents of the masked image.
    var extraChannels: Tensor?
  }

  /// Encodes the prompt and, where guidance needs it, the negative prompt.
  package func conditioning(for request: SamplingRequest) throws -> Conditioning {
    let scale = request.guidanceScale
    let prompt = try prompts.encode(request.prompt, observer: nil)
    let width = model.unet.timeCondProjDim
    var negative: EncodedPrompt?
    if scale > 1, width == nil {
      if request.negativePrompt == nil, usesZerosForEmptyPrompt {
        negative = prompts.zeros(like: prompt)
      } else {
        negative = try prompts.encode(request.negativePrompt ?? "", observer: nil)
      }
    }
    var conditioning = Conditioning(
      conditional: inputs(prompt, request, score: request.aestheticScore),
      unconditional: negative.map { inputs($0, request, score: request.negativeAestheticScore) },
      guidanceScale: Float(scale),
      guidanceEmbedding: width.map { guidanceEmbedding(scale - 1, width: $0) },
      extraChannels: nil)
    // With an initial image and a mask, `initialState` makes these channels.
    if takesMask, request.initialImage?.mask == nil {
      conditioning.extraChannels = try fullyMaskedChannels(for: request)
    }
    return conditioning
  }

  /// Whether an absent negative prompt is encoded as zeros instead of as an empty text: as
  /// `model_index.json` states it, else as the architecture does.
  private var usesZerosForEmptyPrompt: Bool {
    model.source.index[Architecture.zerosForEmptyPrompt]?.bool
      ?? model.family.architecture.usesZerosForEmptyPrompt
  }

  private func inputs(
    _ prompt: EncodedPrompt, _ request: SamplingRequest, score: Double
  ) -> Conditioning.Inputs {
    guard let kind = model.family.architecture.timeIDs, let pooled = prompt.pooled else {
      return Conditioning.Inputs(states: prompt.states, added: nil)
    }
    let size = size(for: request)
    let original = request.originalSize ?? size
    let target = request.targetSize ?? size
    let crop = request.crop ?? Crop(top: 0, left: 0)
    var timeIDs = [original.height, original.width, crop.top, crop.left].map { Float($0) }
    switch kind {
    case .sizes: timeIDs += [Float(target.height), Float(target.width)]
    case .sizesAndScore: timeIDs.append(Float(score))
    }
    return Conditioning.Inputs(
      states: prompt.states,
      added: (pooled, Tensor(shape: [1, timeIDs.count], values: timeIDs)))
  }

  /// diffusers' `get_guidance_scale_embedding`: sines, then cosines, of `guidance` times 1000.
  private func guidanceEmbedding(_ guidance: Double, width: Int) -> Tensor {
    let half = max(1, width / 2)
    let rate = logf(10000) / Float(max(1, half - 1))
    let angles = (0..<half).map { Float(guidance) * 1000 * expf(Float($0) * -rate) }
    var values = angles.map { sinf($0) } + angles.map { cosf($0) }
    if values.count < width { values.append(0) }
    return Tensor(shape: [1, width], values: Array(values.prefix(width)))
  }
}

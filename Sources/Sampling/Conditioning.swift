private import Foundation
internal import ModelSources
import Models
internal import Support
package import Tensors

extension Sampler {
  /// Everything that the U-Net is told beside the latents, and how it is weighed.
  package struct Conditioning: Sendable {
    /// One of the U-Net's two answers: with the text, or without it.
    package struct Branch: Sendable {
      /// The text, [1, words, D].
      package let states: Tensor
      /// The pooled text [1, P] and the sizes [1, numbers] that SDXL adds to the time.
      package let added: (pooled: Tensor, timeIDs: Tensor)?
    }

    /// The prompt.
    package let conditional: Branch
    /// The negative prompt; `nil` without guidance.
    package let unconditional: Branch?
    package let guidanceScale: Float
    /// The guidance as an input of latent consistency models, [1, width].
    let guidanceEmbedding: Tensor?
    /// Channels beside the latents, [1, channels, h, w]: the mask and the masked picture of
    /// inpainting models.
    var extraChannels: Tensor?
  }

  /// Encodes the request's texts.
  package func conditioning(for request: SamplingRequest) throws -> Conditioning {
    let scale = request.guidanceScale
    let prompt = try prompts.encode(request.prompt, observer: nil)
    let width = model.unet.timeCondProjDim
    var negative: EncodedPrompt?
    if scale > 1, width == nil {
      if request.negativePrompt == nil, wantsZerosForNoText {
        negative = prompts.zeros(like: prompt)
      } else {
        negative = try prompts.encode(request.negativePrompt ?? "", observer: nil)
      }
    }
    var conditioning = Conditioning(
      conditional: branch(prompt, request, score: request.aestheticScore),
      unconditional: negative.map { branch($0, request, score: request.negativeAestheticScore) },
      guidanceScale: Float(scale),
      guidanceEmbedding: width.map { guidanceEmbedding(scale - 1, width: $0) },
      extraChannels: nil)
    // The mask of a picture to begin with comes with its latents.
    if takesMask, request.image?.mask == nil {
      conditioning.extraChannels = try wholePictureMasked(request)
    }
    return conditioning
  }

  /// Whether the model's index says that no negative prompt is zeros instead of an empty text.
  private var wantsZerosForNoText: Bool {
    model.source.index["force_zeros_for_empty_prompt"]?.bool
      ?? (model.family.architecture.timeIDs == .sizes)
  }

  private func branch(
    _ prompt: EncodedPrompt, _ request: SamplingRequest, score: Double
  ) -> Conditioning.Branch {
    guard let kind = model.family.architecture.timeIDs, let pooled = prompt.pooled else {
      return Conditioning.Branch(states: prompt.states, added: nil)
    }
    let own = size(for: request)
    let original = request.originalSize ?? own
    let target = request.targetSize ?? own
    let crop = request.crop ?? (top: 0, left: 0)
    var numbers = [original.height, original.width, crop.top, crop.left].map { Float($0) }
    switch kind {
    case .sizes: numbers += [Float(target.height), Float(target.width)]
    case .sizesAndScore: numbers.append(Float(score))
    }
    return Conditioning.Branch(
      states: prompt.states,
      added: (pooled, Tensor(shape: [1, numbers.count], values: numbers)))
  }

  /// diffusers' `get_guidance_scale_embedding`: sines, then cosines, of a thousandfold.
  private func guidanceEmbedding(_ guidance: Double, width: Int) -> Tensor {
    let half = max(1, width / 2)
    let rate = logf(10000) / Float(max(1, half - 1))
    let angles = (0..<half).map { Float(guidance) * 1000 * expf(Float($0) * -rate) }
    var values = angles.map { sinf($0) } + angles.map { cosf($0) }
    if values.count < width { values.append(0) }
    return Tensor(shape: [1, width], values: Array(values.prefix(width)))
  }
}

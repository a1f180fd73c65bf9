/// Facts of single-file checkpoints that no tensor shows.
package enum SingleFileFacts {
  /// Sines that each of SDXL's numbers becomes.
  package static let sizeWidth = 256
  /// What latents of SDXL's autoencoder are multiplied with; its weights look like any other's.
  package static let scalingFactorXL = 0.13025
  package static let scalingFactor = 0.18215
  /// Layers of OpenCLIP-H's text encoder, of which Stable Diffusion 2 leaves the last off.
  package static let openCLIPHLayers = 24
  package static let openCLIPHWidth = 1024
  /// A layer of a U-Net's statistic that tells Stable Diffusion 2.1, which predicts the velocity, from
  /// 2.1 base: where the deviation of this bias is larger (found by ComfyUI's authors).
  package static let velocityBias = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
  package static let velocityDeviation = 0.09
  /// The last training step of Stable Diffusion 2 base, which predicts the noise.
  package static let epsilonStep = 875_000

  /// Buffers of the training code, and numbers of a training run: no part of a model.
  package static let ignored = [
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
    "posterior_mean_coef1", "posterior_mean_coef2", "global_step", "logvar", "lvlb_weights",
    "denoiser.sigmas", "scale_factor",
  ]
  /// Tensors of one number that tell that the model predicts the velocity, and that its schedule ends
  /// in pure noise.
  package static let velocityMarker = "v_pred"
  package static let zeroTerminalMarker = "ztsnr"
  package static let markers = [velocityMarker, zeroTerminalMarker]
  /// Marks of models whose noise Decant's schedulers do not know: EDM's, as Playground 2.5 and CosXL.
  package static let continuous = [
    "edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min",
  ]
}

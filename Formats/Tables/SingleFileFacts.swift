/// Constants for single-file checkpoints that tensors do not show.
package enum SingleFileFacts {
  /// Width of the sinusoidal embedding of each of SDXL's time ids.
  package static let sizeWidth = 256
  /// The factor for latents of SDXL's autoencoder, whose tensors have the same shapes as others'.
  package static let scalingFactorXL = 0.13025
  /// The factor for latents of other autoencoders.
  package static let scalingFactor = 0.18215
  /// Layers of OpenCLIP-H's text encoder. Stable Diffusion 2 does not use the last.
  package static let openCLIPHLayers = 24
  package static let openCLIPHWidth = 1024
  /// A U-Net tensor that distinguishes Stable Diffusion 2.1, which predicts the velocity, from 2.1
  /// base: its standard deviation is above `velocityDeviation` in 2.1. Source: ComfyUI.
  package static let velocityBias = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
  package static let velocityDeviation = 0.09
  /// The last training step of Stable Diffusion 2 base, which predicts the noise (epsilon).
  package static let epsilonStep = 875_000

  /// Buffers of training code and statistics of a training run, which are not part of a model.
  package static let ignored = [
    "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
    "posterior_mean_coef1", "posterior_mean_coef2", "global_step", "logvar", "lvlb_weights",
    "denoiser.sigmas", "scale_factor",
  ]
  /// One-element tensors that mark velocity prediction and a schedule with zero terminal SNR.
  package static let velocityMarker = "v_pred"
  package static let zeroTerminalMarker = "ztsnr"
  package static let markers = [velocityMarker, zeroTerminalMarker]
  /// Tensors that mark EDM's continuous noise (Playground 2.5, CosXL), which no scheduler supports.
  package static let continuous = [
    "edm_mean", "edm_std", "edm_vpred.sigma_max", "edm_vpred.sigma_min",
  ]
  /// The beginning of the names of diffusers' schedulers for this noise: `EDMEulerScheduler`.
  package static let continuousSchedulers = "EDM"
}

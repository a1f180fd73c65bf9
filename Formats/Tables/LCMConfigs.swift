/// Configs of latent consistency models (Luo et al. 2023, arXiv 2310.04378): models whose U-Net was
/// distilled to a few steps and takes the guidance scale as an input.
package enum LCMConfigs {
  package static let dreamshaper = StableDiffusion1Configs.v15.changing([
    "model_index": #"""
    {
      "_class_name": "LatentConsistencyModelPipeline",
      "scheduler": ["diffusers", "LCMScheduler"]
    }
    """#,
    "scheduler": scheduler,
    "unet": #"{"time_cond_proj_dim": 256}"#,
  ])

  static let scheduler = #"""
    {
      "_class_name": "LCMScheduler",
      "clip_sample": false,
      "original_inference_steps": 50,
      "prediction_type": "epsilon",
      "set_alpha_to_one": true,
      "steps_offset": 0,
      "timestep_scaling": 10.0
    }
    """#
}

/// Configs of BK-SDM's U-Nets as published (Kim et al. 2023, arXiv 2305.15798), and of Segmind's
/// models with the same shapes. The other components are those of the parent models.
package enum BKSDMConfigs {
  package static let base = StableDiffusion1Configs.v14.changing(["unet": baseUNet])
  package static let small = base.changing(["unet": smallUNet])
  package static let tiny = small.changing(["unet": tinyUNet])

  package static let v2Base = StableDiffusion2Configs.v21Base.changing(["unet": baseUNet])
  package static let v2Small = v2Base.changing(["unet": smallUNet])
  package static let v2Tiny = v2Small.changing(["unet": tinyUNet]).changing([
    "unet": #"{"attention_head_dim": [5, 10, 20]}"#
  ])

  package static let segmindSmall = StableDiffusion1Configs.v15.changing(["unet": baseUNet])
  package static let segmindTiny = StableDiffusion1Configs.v15.changing(["unet": baseUNet])
    .changing(["unet": smallUNet]).changing(["unet": tinyUNet])

  private static let baseUNet =
    #"{"layers_per_block": 1, "mid_block_type": "UNetMidBlock2DCrossAttn"}"#

  private static let smallUNet = #"{"mid_block_type": null}"#

  private static let tinyUNet = #"""
    {
      "block_out_channels": [320, 640, 1280],
      "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
      "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"]
    }
    """#
}

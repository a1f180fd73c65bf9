import Formats
import ModelSources

/// BK-SDM (Kim et al. 2023, arXiv 2305.15798): Stable Diffusion 1.4 or 2.1 base with blocks of its
/// U-Net removed and the rest distilled.
extension Family {
  static let bkSDMBase = Family(
    name: "bk-sdm-base", title: "BK-SDM Base", architecture: .stableDiffusion1,
    template: ModelTemplate(BKSDMConfigs.base))

  static let bkSDMSmall = Family(
    name: "bk-sdm-small", title: "BK-SDM Small", architecture: .stableDiffusion1,
    template: ModelTemplate(BKSDMConfigs.small))

  static let bkSDMTiny = Family(
    name: "bk-sdm-tiny", title: "BK-SDM Tiny", architecture: .stableDiffusion1,
    template: ModelTemplate(BKSDMConfigs.tiny))

  static let bkSDMV2Base = Family(
    name: "bk-sdm-v2-base", title: "BK-SDM v2 Base", architecture: .stableDiffusion2,
    template: ModelTemplate(BKSDMConfigs.v2Base))

  static let bkSDMV2Small = Family(
    name: "bk-sdm-v2-small", title: "BK-SDM v2 Small", architecture: .stableDiffusion2,
    template: ModelTemplate(BKSDMConfigs.v2Small))

  static let bkSDMV2Tiny = Family(
    name: "bk-sdm-v2-tiny", title: "BK-SDM v2 Tiny", architecture: .stableDiffusion2,
    template: ModelTemplate(BKSDMConfigs.v2Tiny))
}

/// Segmind's distilled models have the configs of BK-SDM's and other weights. Such a model is
/// recognized as the BK-SDM family, which comes first in ``all``.
extension Family {
  static let segmindSmall = Family(
    name: "segmind-small-sd", title: "Segmind Small SD", architecture: .stableDiffusion1,
    template: ModelTemplate(BKSDMConfigs.segmindSmall))

  static let segmindTiny = Family(
    name: "segmind-tiny-sd", title: "Segmind Tiny SD", architecture: .stableDiffusion1,
    template: ModelTemplate(BKSDMConfigs.segmindTiny))
}

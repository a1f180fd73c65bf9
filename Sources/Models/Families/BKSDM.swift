import Formats

/// BK-SDM (Kim et al. 2023, arXiv 2305.15798): Stable Diffusion 1.4 with blocks of its U-Net removed
/// and the rest distilled.
extension Family {
  static let bkSDMBase = Family(
    name: "bk-sdm-base", title: "BK-SDM Base", line: stableDiffusion1Line, parent: "sd-v1-4",
    template: ModelTemplate(BKSDMConfigs.base))

  static let bkSDMSmall = Family(
    name: "bk-sdm-small", title: "BK-SDM Small", line: stableDiffusion1Line, parent: "sd-v1-4",
    template: ModelTemplate(BKSDMConfigs.small))

  static let bkSDMTiny = Family(
    name: "bk-sdm-tiny", title: "BK-SDM Tiny", line: stableDiffusion1Line, parent: "sd-v1-4",
    template: ModelTemplate(BKSDMConfigs.tiny))
}

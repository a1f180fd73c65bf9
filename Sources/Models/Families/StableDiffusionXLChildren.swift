import Formats
import ModelSources

/// U-Nets of Stable Diffusion XL with blocks removed and the rest distilled: SSD-1B and Vega (Gupta
/// et al. 2024, arXiv 2401.02677), KOALA (Lee et al. 2023, arXiv 2312.04005).
extension Family {
  static let ssd1B = Family(
    name: "ssd-1b", title: "SSD-1B", architecture: .stableDiffusionXL,
    template: ModelTemplate(StableDiffusionXLConfigs.ssd1B))

  static let segmindVega = Family(
    name: "segmind-vega", title: "Segmind Vega", architecture: .stableDiffusionXL,
    template: ModelTemplate(StableDiffusionXLConfigs.vega))

  static let koala700M = Family(
    name: "koala-700m", title: "KOALA-700M", architecture: .stableDiffusionXL,
    template: ModelTemplate(StableDiffusionXLConfigs.koala700M))

  static let koala1B = Family(
    name: "koala-1b", title: "KOALA-1B", architecture: .stableDiffusionXL,
    template: ModelTemplate(StableDiffusionXLConfigs.koala1B))
}

import Models
import Sampling
import TestSupport
import Testing
import Verification

/// Verification of narrow models of every kind of pipeline.
struct FamilyTests {
  @Test(arguments: [
    "sd-v1-5-inpainting", "sd-v2-1", "lcm-dreamshaper-v7", "koala-700m", "sdxl-turbo",
    "sdxl-refiner-1.0",
  ])
  func comparesEveryComponent(name: String) throws {
    let tokenizer = try smallTokenizer()
    let family = try #require(Family.named(name))
    let model = try Model.bind(
      try #require(
        try family.narrowed(vocabulary: tokenizer.vocabulary, files: tokenizer.files)))
    let encoder = try #require(
      model.components.map(\.name).last { $0.hasPrefix("text_encoder") })
    let report = try Verifier(
      settings: VerificationSettings(
        prompts: [Prompt("a red circle")], seeds: [7], steps: 2, guidanceScale: 4,
        blockSteps: 1),
      tool: "decant test", machine: "a machine"
    ).verify(
      reference: .init(name: "original", model: model),
      candidate: .init(name: "same", model: model),
      baselines: [
        .init(name: "texts", model: try model.moved(encoder, by: 0.02)),
        .init(name: "unet", model: try model.moved(by: 0.02)),
      ])
    #expect(Set(report.blocks.map(\.component)) == Set(model.components.map(\.name)))
    #expect(report.summary(of: 0).worstLatentError == 0)
    #expect(report.errors[2].spreads.guided.mean > 1e-4)
    for block in report.blocks {
      let errors = try block.results.map { try #require($0).worst }
      #expect(errors[0] == 0)
      switch block.component {
      case encoder: #expect(block.name.contains("embeddings") || errors[1] > 0, "\(block.name)")
      case "unet": #expect(errors[2] > 0, "\(block.name)")
      default: #expect(errors[2] == 0 || block.component == "vae", "\(block.name)")
      }
    }
    #expect(report.tensors.count == model.components.reduce(0) { $0 + $1.modules.tensors.count })
  }
}

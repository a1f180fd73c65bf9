import Calibration
import Formats
import Sampling
import Support
import Testing

struct PromptTests {
  @Test func seedsComeFromThePromptAlone() throws {
    let prompts = ["a", "b", "a much longer prompt"].map { Prompt($0) }
    let together = prompts.runs(seeds: 2, sizes: [size])
    #expect(together.count == 6)
    #expect(Set(together).count == 6)
    #expect(together[2...3].elementsEqual([prompts[1]].runs(seeds: 2, sizes: [size])))
    #expect(together[1].seed == together[0].seed + 1)
    #expect(together.allSatisfy { $0.seed < 1 << 33 })
    // FNV-1a of "a", 0: computed by hand from the published constants.
    let hash = ([97, 0] as [UInt64]).reduce(14_695_981_039_346_656_037) {
      ($0 ^ $1) &* 1_099_511_628_211
    }
    #expect(together[0].seed == hash & 0xffff_ffff)
    #expect(
      [Prompt("a", negativePrompt: "b")].runs(seeds: 1, sizes: [size])[0].seed != together[0].seed)
  }

  /// Of a long list the calls of 16 runs are recorded, as many of each size; of a short one all.
  @Test func fewRunsOfALongListAreRecorded() {
    let sizes = [size, ImageSize(width: 128, height: 128)]
    let prompts = (0..<100).map { Prompt("prompt \($0)") }
    let recorded = prompts.runs(seeds: 1, sizes: sizes).recorded
    #expect(recorded.count == 16)
    for size in sizes { #expect(recorded.count { $0.size == size } == 8) }
    let short = Array(prompts.prefix(12)).runs(seeds: 1, sizes: sizes)
    #expect(short.recorded == Set(short))
  }

  @Test func runsCompareByBytesAndSort() {
    let composed = CalibrationRun(prompt: "\u{e9}", negativePrompt: "", seed: 0, size: size)
    let decomposed = CalibrationRun(prompt: "e\u{301}", negativePrompt: "", seed: 0, size: size)
    #expect(composed != decomposed)
    #expect(decomposed < composed)
    #expect(Set([composed, decomposed]).count == 2)
    let sorted = [
      CalibrationRun(prompt: "b", negativePrompt: "", seed: 0, size: size),
      CalibrationRun(prompt: "a", negativePrompt: "b", seed: 0, size: size),
      CalibrationRun(prompt: "a", negativePrompt: "", seed: 5, size: size),
      CalibrationRun(prompt: "a", negativePrompt: "", seed: 1, size: size),
    ].sorted()
    #expect(sorted.map(\.seed) == [1, 5, 0, 0])
    #expect(sorted.last?.prompt == "b")
  }

  @Test func theDefaultListIsVaried() {
    let prompts = CalibrationPrompts.all
    #expect(prompts.count >= 32)
    #expect(Set(prompts).count == prompts.count)
    #expect(prompts.allSatisfy { (20...120).contains($0.count) && !$0.contains("\t") })
    #expect(prompts.map { Prompt($0) }.runs(seeds: 1, sizes: [size]).count == prompts.count)
  }
}

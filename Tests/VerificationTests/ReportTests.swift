import Calibration
import Foundation
import ModelSources
import Models
import Support
import TestSupport
import Testing
import Verification

struct ReportTests {
  private func report(
    name: String = "moved", thresholds: VerificationThresholds = VerificationThresholds()
  ) throws -> VerificationReport {
    var model = try smallModel()
    let moved = try model.moved(by: 0.01)
    var source = moved.source
    source.provenance = ["tool": "decant test", "steps": [["step": "x", "why": "<i>\u{1}"]]]
    model = try smallModel()
    return try verifier(thresholds).verify(
      reference: .init(name: "original", model: model, fileBytes: 1_000_000),
      candidate: .init(name: name, model: try Model.bind(source), fileBytes: 250_000),
      baselines: [.init(name: "same", model: model)])
  }

  /// The members that `Formats/report.md` lists.
  @Test func members() throws {
    let report = try report(thresholds: VerificationThresholds(minimumPSNR: 500))
    let json = report.json
    #expect(
      json.keys == [
        "format", "version", "tool", "machine", "command", "verdict", "errors", "met",
        "thresholds", "settings", "calls", "reference", "compared", "pictures", "steps", "blocks",
        "tensors", "absent_tensors", "sensitivities", "notes", "provenance",
      ])
    #expect(json["format"] == "decant-verification")
    #expect(json["version"] == 2)
    #expect(json["met"] == false)
    let threshold = try #require(json["thresholds"]?.array?.first?.object)
    #expect(threshold.keys == ["name", "limit", "measured", "met"])
    #expect(threshold["limit"]?.number == 500)
    let compared = (json["compared"]?.array ?? []).compactMap(\.object)
    try #require(compared.count == 2)
    #expect(compared.map { $0["role"] } == ["candidate", "baseline"])
    #expect(
      compared[0].keys == [
        "name", "role", "layout", "parameters", "weight_bytes", "file_bytes", "components",
        "errors", "sizes", "summary",
      ])
    #expect(json["verdict"] == .string(report.verdict.rawValue))
    #expect(json["errors"] == compared[0]["errors"])
    let guided = try #require(json["errors"]?.object?["guided"]?.object)
    #expect(guided.keys == ["mean", "median", "worst"])
    let size = try #require(compared[0]["sizes"]?.array?.first?.object)
    #expect(size.keys == ["width", "height", "calls", "errors"])
    #expect(size["errors"] == json["errors"])
    let calls = try #require(json["calls"]?.object)
    #expect(
      calls.keys == [
        "count", "of", "steps", "recorded_steps", "scheduler", "guidance_scale", "sizes",
      ])
    #expect(calls["of"] == "verification")
    let summary = try #require(compared[0]["summary"]?.object)
    #expect(
      summary.keys == [
        "least_psnr_db", "mean_psnr_db", "identical", "least_ssim", "mean_ssim",
        "largest_difference", "least_share_within_1", "worst_latent_error",
        "least_latent_cosine", "mean_latent_cosine", "mean_prediction_error",
        "worst_prediction_error",
      ])
    let image = try #require(json["pictures"]?.array?.first?.object)
    #expect(image.keys == ["prompt", "negative_prompt", "seed", "results"])
    let result = try #require(image["results"]?.array?.first?.object)
    #expect(
      result.keys == [
        "psnr_db", "identical", "ssim", "largest_difference", "share_within_1", "latent_error",
        "latent_cosine",
      ])
    #expect(image["results"]?.array?.last == .null)
    let step = try #require(json["steps"]?.array?.first?.object)
    #expect(step.keys == ["step", "timestep", "latent_error", "prediction_error", "errors"])
    #expect(step["latent_error"]?.array?.count == 2)
    let block = try #require(json["blocks"]?.array?.first?.object)
    #expect(block.keys == ["component", "block", "error"])
    let tensor = try #require(json["tensors"]?.array?.first?.object)
    #expect(
      tensor.keys == [
        "component", "tensor", "reference", "shape", "before", "after", "sqnr_db", "identical",
        "relative_error", "cosine", "largest_difference",
      ])
  }

  /// JSON has no infinity: the ratio is null and `identical` is true.
  @Test func identicalImagesHaveANullRatio() throws {
    let model = try smallModel()
    let json = try verifier().verify(
      reference: .init(name: "original", model: model),
      candidate: .init(name: "same", model: model)
    ).json
    let summary = try #require(json["compared"]?.array?.first?.object?["summary"]?.object)
    #expect(summary["least_psnr_db"] == .null)
    #expect(summary["identical"] == true)
    let result = try #require(
      json["pictures"]?.array?.first?.object?["results"]?.array?.first?.object)
    #expect(result["psnr_db"] == .null)
    #expect(result["identical"] == true)
    #expect(json["met"] == .null)
    #expect(try JSONValue(parsing: JSONValue.object(json).text(indent: 2)) == .object(json))
  }

  @Test func textIsEscaped() throws {
    let page = try ReportPage(try report(name: "<script>alert('x')</script> & \"co\"")).html()
    #expect(!page.contains("<script"))
    #expect(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;co&quot;"))
    #expect(page.contains("two &lt;b&gt;squares&lt;/b&gt; &amp; &quot;more&quot;"))
    #expect(page.contains("&lt;i&gt;\u{fffd}"))
    #expect(!page.contains("\u{1}"))
  }

  /// Members of the provenance have labels with units. Those without a value are left out.
  @Test func provenanceHasLabelsAndNoNulls() throws {
    var source = try smallModel().source
    let ledger: JSONValue = [
      ["tensor": "a", "sqnr_db": 31.5, "weighted_sqnr_db": .null, "mean_clip": 0.5],
      ["tensor": "b", "sqnr_db": .null, "weighted_sqnr_db": .null, "mean_clip": 1.0],
    ]
    source.provenance = [
      "tool": "decant test", "digest": .null,
      "steps": [["step": "quantize", "calibration": .null, "ledger": ledger]],
    ]
    let model = try smallModel()
    let page = try ReportPage(
      try verifier().verify(
        reference: .init(name: "original", model: model),
        candidate: .init(name: "same", model: try Model.bind(source)))
    ).html()
    #expect(page.contains("<th>SQNR (dB)</th>") && page.contains("<td>–</td>"))
    #expect(page.contains("<th>mean scale, relative to round to nearest</th>"))
    for word in ["sqnr db", "clip", "null", "weighted by the calibration", "digest"] {
      #expect(!page.contains(word), "\(word)")
    }
  }

  @Test func pageFetchesNothing() throws {
    let page = try ReportPage(try report()).html()
    for word in ["http:", "https:", "url(", "@import", "<link", "<iframe", "onload"] {
      #expect(!page.contains(word), "\(word)")
    }
    let sources = page.components(separatedBy: "src=\"").dropFirst()
    // The reference, the candidate and their difference for each prompt.
    #expect(sources.count == 6)
    #expect(sources.allSatisfy { $0.hasPrefix("data:image/png;base64,iVBORw0KGgo") })
    #expect(page.contains("prefers-color-scheme: dark"))
  }

  @Test func pageShowsWhetherThresholdsAreMet() throws {
    let unmet = try ReportPage(
      try report(thresholds: VerificationThresholds(minimumPSNR: 500, maximumStepError: 9))
    ).html()
    #expect(unmet.contains("A threshold is not met"))
    #expect(unmet.contains("at least 500.0 dB"))
    let met = try ReportPage(
      try report(thresholds: VerificationThresholds(maximumStepError: 9))
    ).html()
    #expect(met.contains("All thresholds are met"))
    #expect(try ReportPage(try report()).html().contains("No thresholds are set."))
  }

  /// The verdict comes before every figure.
  @Test func pageBeginsWithTheVerdict() throws {
    let report = try report()
    let page = try ReportPage(report).html()
    let word = report.verdict.rawValue
    let verdict = try #require(
      page.range(of: "<span class=\"verdict \(word)\">\(word)</span>"))
    let tiles = try #require(page.range(of: "<div class=\"tiles\">"))
    let figures = try #require(page.range(of: "<h2>Figures</h2>"))
    #expect(verdict.lowerBound < tiles.lowerBound && tiles.lowerBound < figures.lowerBound)
    for part in ["<h2>Sensitivity</h2>", "<h2>Sizes</h2>", "Repeat it with"] {
      #expect(!page.contains(part), "\(part)")
    }
  }

  /// What only some verifications have.
  @Test func pageShowsSensitivitiesSizesAndTheCommand() throws {
    let model = try smallModel()
    let run = CalibrationRun(
      prompt: "a", negativePrompt: "", seed: 0, size: ImageSize(width: 32, height: 16))
    let calls = [0, 1].map { Sensitivities.Call(run: run, step: $0) }
    let sensitivities = Sensitivities(
      calls: calls,
      units: [
        .init(name: "conv_in", modules: ["conv_in"], weightCount: 1152, errors: [0.01, 0.03]),
        .init(
          name: "mid_block.resnets.0", modules: ["x"], weightCount: 40, errors: [0.002, 0.001]),
      ])
    let report = try verifier(otherSizes: [ImageSize(width: 32, height: 16)]).verify(
      reference: .init(name: "original", model: model),
      candidate: .init(name: "moved", model: try model.moved(by: 0.01)),
      sensitivities: sensitivities, command: "decant verify a 'b & c'")
    let page = try ReportPage(report).html()
    #expect(page.contains("<h2>Sensitivity</h2>") && page.contains("mid_block.resnets.0"))
    #expect(page.contains("<pre>decant verify a &#39;b &amp; c&#39;</pre>"))
    #expect(page.contains("<td>32x16<br>"))
    let unit = try #require(report.json["sensitivities"]?.array?.first?.object)
    #expect(unit["unit"] == "conv_in" && unit["weights"] == 1152)
    // (0.01 / 0.006 + 0.03 / 0.0155) / 2 / 0.18²
    #expect(abs(try #require(unit["sensitivity"]?.number) - 55.59) < 0.01)
    #expect(report.json["command"] == "decant verify a 'b & c'")
  }

  @Test func aVerificationWithoutImages() throws {
    let model = try smallModel()
    let report = try verifier(images: 0).verify(
      reference: .init(name: "original", model: model),
      candidate: .init(name: "moved", model: try model.moved(by: 0.01)))
    #expect(report.images.isEmpty)
    #expect(!report.blocks.contains { $0.component == "vae" })
    let json = report.json
    #expect(json["pictures"] == [])
    let summary = try #require(json["compared"]?.array?.first?.object?["summary"]?.object)
    for name in ["least_psnr_db", "identical", "worst_latent_error", "mean_latent_cosine"] {
      #expect(summary[name] == .null, "\(name)")
    }
    #expect(json["errors"]?.object?["guided"]?.object?["mean"]?.number != nil)
    let step = try #require(json["steps"]?.array?.first?.object)
    #expect(step["latent_error"] == [.null])
    #expect(!(try ReportPage(report).html().contains("<h2>Images</h2>")))
  }

  /// Open elements are closed in order.
  @Test func elementsNest() throws {
    let page = try ReportPage(try report()).html()
    let empty: Set<Substring> = ["meta", "img", "line", "br", "!DOCTYPE"]
    var open: [Substring] = []
    for piece in page.split(separator: "<").dropFirst(page.hasPrefix("<") ? 0 : 1) {
      let tag = piece.prefix { $0 != ">" }
      let name = tag.prefix { !$0.isWhitespace && $0 != "/" || $0 == "!" }
      if tag.hasPrefix("/") {
        let closed = open.popLast()
        #expect(closed == tag.dropFirst(), "after \(piece.prefix(60))")
        if closed != tag.dropFirst() { return }
      } else if !tag.hasSuffix("/"), !empty.contains(name) {
        open.append(name)
      }
    }
    #expect(open == [])
  }

  @Test func folderIsWrittenCompletelyOrNotAtAll() throws {
    let report = try report()
    try withTemporaryFolder { folder in
      let path = folder + "/report"
      try report.write(to: path, replacing: false)
      let names = try FileManager.default.contentsOfDirectory(atPath: path).sorted()
      #expect(names == ["index.html", "report.json"])
      let written = try ByteSlice.mapping(path + "/report.json")
      #expect(try JSONValue(parsing: written.bytes) == .object(report.json))
      #expect(throws: FileError(.exists, path)) { try report.write(to: path, replacing: false) }
      try report.write(to: path, replacing: true)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["report"])
    }
  }

  @Test func unmeasuredValuesMeetNoThreshold() {
    func check(_ side: VerificationThresholds.Check.Side, _ measured: Double?) -> Bool {
      VerificationThresholds.Check(
        name: "x", title: "x", side: side, limit: 1, measured: measured, unit: ""
      ).isMet
    }
    #expect(!check(.least, nil))
    #expect(!check(.least, .nan))
    #expect(!check(.most, .nan))
    #expect(check(.least, .infinity))
    #expect(check(.least, 1))
    #expect(check(.most, 1))
    #expect(!check(.most, 1.01))
  }
}

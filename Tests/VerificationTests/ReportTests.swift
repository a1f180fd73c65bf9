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
    let json = try report(thresholds: VerificationThresholds(minimumPSNR: 500)).json
    #expect(
      json.keys == [
        "format", "version", "tool", "machine", "met", "thresholds", "settings", "reference",
        "compared", "pictures", "steps", "blocks", "tensors", "absent_tensors", "notes",
        "provenance",
      ])
    #expect(json["format"] == "decant-verification")
    #expect(json["version"] == 1)
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
        "summary",
      ])
    let summary = try #require(compared[0]["summary"]?.object)
    #expect(
      summary.keys == [
        "least_psnr_db", "mean_psnr_db", "identical", "least_ssim", "mean_ssim",
        "largest_difference", "least_share_within_1", "worst_latent_error",
        "mean_prediction_error", "worst_prediction_error",
      ])
    let image = try #require(json["pictures"]?.array?.first?.object)
    #expect(image.keys == ["prompt", "negative_prompt", "seed", "results"])
    let result = try #require(image["results"]?.array?.first?.object)
    #expect(
      result.keys == [
        "psnr_db", "identical", "ssim", "largest_difference", "share_within_1", "latent_error",
      ])
    let step = try #require(json["steps"]?.array?.first?.object)
    #expect(step.keys == ["step", "timestep", "latent_error", "prediction_error"])
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
    let json = try report().json
    let baseline = try #require(json["compared"]?.array?[1].object?["summary"]?.object)
    #expect(baseline["least_psnr_db"] == .null)
    #expect(baseline["identical"] == true)
    let result = try #require(
      json["pictures"]?.array?.first?.object?["results"]?.array?[1].object)
    #expect(result["psnr_db"] == .null)
    #expect(result["identical"] == true)
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
    #expect(sources.count == 8)
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

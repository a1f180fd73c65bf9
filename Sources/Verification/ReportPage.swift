import Sampling
import Support

/// A verification report as one self-contained HTML file.
package struct ReportPage {
  let report: VerificationReport
  private let candidate: VerificationReport.Summary

  package init(_ report: VerificationReport) {
    self.report = report
    candidate = report.summary(of: 0)
  }

  /// The whole document.
  ///
  /// - Throws: `PNGError` if an image cannot be encoded.
  package func html() throws -> String {
    let body: HTML = """
      \(head)\(try images())\(curves)\(blocks)\(sizes)\(tensors)\(provenance)\(settings)
      """
    let page: HTML = """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(name(0)) compared with \(report.reference.name)</title>
      <style>\(reportStyle)</style></head>
      <body><main>\(body)
      <footer>\(report.tool) · \(report.machine)</footer></main></body></html>

      """
    return page.markup
  }

  private func name(_ index: Int) -> String { report.compared[index].name }

  private func color(_ index: Int) -> Int { index % 5 }

  // MARK: - Summary

  private var head: HTML {
    let reference = report.reference
    let subject = report.compared[0]
    // File sizes if both are known, else weight sizes; files may be compressed.
    let (before, after) =
      if let original = reference.fileBytes, let other = subject.fileBytes {
        (original, other)
      } else {
        (reference.bytes, subject.bytes)
      }
    let share = before > 0 ? Double(after) / Double(before) : 1
    let tiles: [(String, String)] = [
      (
        formatted(bytes: after),
        "\(formatted(share * 100, digits: 3)) % of the reference's \(formatted(bytes: before))"
      ),
      (
        candidate.leastPSNR == .infinity
          ? "identical" : "\(formatted(candidate.leastPSNR, digits: 3)) dB",
        "least PSNR of \(counted(report.images.count, "image"))"
      ),
      (candidate.leastSSIM.map { formatted($0, decimals: 3) } ?? "–", "least SSIM"),
      (percent(candidate.meanPredictionError), "mean error of noise predictions"),
      (percent(candidate.worstLatentError), "worst error of final latents"),
    ]
    return """
      <h1>\(subject.name) <span class="s1">compared with</span> \(reference.name)</h1>
      \(verdict)
      <div class="tiles">\(tiles.map { "<div class=\"tile\"><b>\($0.0)</b><span>\($0.1)</span></div>" as HTML })</div>
      \(checks)\(report.notes.map { "<p class=\"note\">\($0)</p>" as HTML })
      <h2>Figures</h2>\(summaries)
      """
  }

  private var verdict: HTML {
    if report.checks.isEmpty { return "<p class=\"note\">No thresholds are set.</p>" }
    return report.isMet
      ? "<span class=\"verdict met\">All thresholds are met</span>"
      : "<span class=\"verdict unmet\">A threshold is not met</span>"
  }

  private var checks: HTML {
    if report.checks.isEmpty { return "" }
    let rows = report.checks.map { check -> HTML in
      let sign = check.side == .least ? "at least" : "at most"
      let measured =
        check.measured.map { formatted($0, digits: 4) + check.unit } ?? "not measurable"
      return """
        <tr><td>\(check.title)</td><td class="n">\(sign) \(formatted(check.limit, digits: 4))\(check.unit)</td>\
        <td class="n">\(measured)</td><td><span class="verdict \(check.isMet ? "met" : "unmet")">\
        \(check.isMet ? "met" : "not met")</span></td></tr>
        """
    }
    return table(["Measure", "#threshold", "#measured", ""], rows)
  }

  private var summaries: HTML {
    let rows = report.compared.indices.map { index -> HTML in
      let summary = report.summary(of: index)
      let subject = report.compared[index]
      let isSame = summary.leastPSNR == .infinity
      return """
        <tr\(index == 0 ? " class=\"main\"" as HTML : "")><td class="term"><i class="swatch s\(color(index))"></i>\(subject.name)</td>\
        <td class="n">\(formatted(bytes: subject.bytes))</td>\
        <td class="n">\(isSame ? "identical" : formatted(summary.leastPSNR, digits: 3) + " dB")</td>\
        <td class="n">\(isSame ? "–" : formatted(summary.meanPSNR, digits: 3) + " dB")</td>\
        <td class="n">\(summary.leastSSIM.map { formatted($0, decimals: 4) } ?? "–")</td>\
        <td class="n">\(formatted(summary.largestDifference, decimals: 0))</td>\
        <td class="n">\(percent(summary.leastShareWithinOneLevel))</td>\
        <td class="n">\(percent(summary.worstLatentError))</td>\
        <td class="n">\(percent(summary.worstPredictionError))</td></tr>
        """
    }
    return table(
      [
        "Model", "#weights", "#least PSNR", "#mean PSNR", "#least SSIM", "#largest difference",
        "#pixels within 1 level", "#worst latents", "#worst prediction",
      ], rows)
  }

  // MARK: - Images

  private func images() throws -> HTML {
    let pairs = try report.images.map { pair -> HTML in
      let first = pair.results[0]
      var shots = [
        try shot(pair.reference, "<b>\(report.reference.name)</b>"),
        try shot(first.image, caption(name(0), first)),
        try shot(
          first.image.difference(from: pair.reference),
          "<b>difference × 8</b><br>largest \(formatted(first.comparison.largestDifference, decimals: 0)) levels"
        ),
      ]
      for (index, result) in pair.results.enumerated().dropFirst() {
        shots.append(try shot(result.image, caption(name(index), result)))
      }
      let without =
        pair.negativePrompt.isEmpty ? "" : ", negative prompt “\(pair.negativePrompt)”" as HTML
      return """
        <div class="pair"><p>“\(pair.prompt)”\(without) \
        <span class="note">seed \(String(pair.seed))</span></p>\
        <div class="shots">\(shots)</div></div>
        """
    }
    return """
      <h2>Images</h2><p class="note">Each model's own run from the same noise. Small errors early in a \
      run can lead to a different image of the same quality; the baselines show how easily.</p>\(pairs)
      """
  }

  private func caption(
    _ name: String, _ result: VerificationReport.ImageResult.Result
  ) -> HTML {
    let comparison = result.comparison
    if comparison.isIdentical { return "<b>\(name)</b><br>identical" }
    let ssim = comparison.ssim.map { ", SSIM " + formatted($0, decimals: 3) } ?? ""
    return "<b>\(name)</b><br>\(formatted(comparison.psnr, digits: 3)) dB\(ssim)"
  }

  private func shot(_ image: Image, _ caption: HTML) throws -> HTML {
    let isSmall = image.width < 200
    return """
      <figure class="shot"><img\(isSmall ? " class=\"small\"" as HTML : "") width="\(image.width)" \
      height="\(image.height)" alt="" src="data:image/png;base64,\(base64(try image.png()))">\
      <figcaption>\(caption)</figcaption></figure>
      """
  }

  // MARK: - Curves and blocks

  private var curves: HTML {
    let labels = report.steps.indices.map { String($0 + 1) }
    func chart(
      _ title: String, _ spreads: (VerificationReport.StepResult) -> [VerificationReport.Spread]
    ) -> HTML {
      ErrorChart(
        title: title,
        lines: report.compared.indices.map { index in
          ErrorChart.Line(
            name: name(index), color: color(index),
            mean: report.steps.map { spreads($0)[index].mean },
            worst: report.steps.map { spreads($0)[index].worst })
        }, labels: labels
      ).svg
    }
    return """
      <h2>Step by step</h2><p class="note">Relative error against the reference: root mean square of the \
      difference over that of the reference. Lines are means over images; shading extends to the worst image.</p>\
      <div class="charts">\(chart("Noise predictions on the reference's own trajectory", \.predictions))\
      \(chart("Latents after each step, each model on its own trajectory", \.latents))</div>
      """
  }

  private var blocks: HTML {
    let most =
      report.blocks.flatMap { $0.results.compactMap { $0?.mean } }
      .filter(\.isFinite).max() ?? 0
    func bar(_ index: Int, _ spread: VerificationReport.Spread?) -> HTML {
      guard let spread, most > 0, spread.mean.isFinite else { return "" }
      let width = formatted(100 * min(1, spread.mean / most), decimals: 2)
      return "<div class=\"s\(color(index))\" style=\"width:\(width)%\"></div>"
    }
    let rows = report.blocks.map { block -> HTML in
      let figures = block.results.map { $0.map { percent($0.mean) } ?? "–" }
      return """
        <tr><td>\(block.component)</td><td class="name">\(block.name)</td>\
        <td class="bar">\(block.results.enumerated().map { bar($0.offset, $0.element) })</td>\
        \(figures.map { "<td class=\"n\">\($0)</td>" as HTML })</tr>
        """
    }
    return """
      <h2>Block by block</h2><p class="note">Relative error of each block's output when every model gets the \
      reference's inputs, in order of execution. Errors of earlier blocks propagate to later ones.</p>\
      <div class="bars">\(table(["Component", "Block", "mean relative error"] + report.compared.indices.map { "#" + name($0) }, rows))</div>
      """
  }
}

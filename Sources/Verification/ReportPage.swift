internal import Sampling
internal import Support

/// A verification report as one self-contained HTML file.
package struct ReportPage {
  let report: VerificationReport
  let summaries: [VerificationReport.Summary]

  package init(_ report: VerificationReport) {
    self.report = report
    summaries = report.compared.indices.map(report.summary)
  }

  /// The whole document.
  ///
  /// - Throws: `PNGError` if an image cannot be encoded.
  package func html() throws -> String {
    let body: HTML = """
      \(head)\(figures)\(sizesOfCalls)\(try images())\(curves)\(blocks)\(sensitivities)\(sizes)\
      \(tensors)\(provenance)\(settings)
      """
    let page: HTML = """
      <!DOCTYPE html>
      <html lang="en"><head><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(report.verdict.rawValue): \(name(0)) compared with \(report.reference.name)</title>
      <style>\(reportStyle)</style></head>
      <body><main>\(body)
      <footer>\(report.tool) · \(report.machine)</footer></main></body></html>

      """
    return page.markup
  }

  func name(_ index: Int) -> String { report.compared[index].name }

  func color(_ index: Int) -> Int { index % 5 }

  // MARK: - Verdict

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
    let guided = report.errors[0].spreads.guided
    var tiles: [(String, String)] = [
      (percent(guided.mean), "error of the noise prediction, mean over steps"),
      (percent(guided.worst), "error at the worst step"),
      (
        formatted(bytes: after),
        "\(formatted(share * 100, digits: 3)) % of the reference's \(formatted(bytes: before))"
      ),
    ]
    if let psnr = summaries[0].leastPSNR {
      tiles.append(
        (decibels(psnr), "least PSNR of \(counted(report.images.count, "image"))"))
    }
    return """
      <h1>\(subject.name) <span class="s1">compared with</span> \(reference.name)</h1>
      <p class="first"><span class="verdict \(report.verdict.rawValue)">\(report.verdict.rawValue)</span> \
      \(report.verdict.meaning)</p>\(thresholds)
      <div class="tiles">\(tiles.map { "<div class=\"tile\"><b>\($0.0)</b><span>\($0.1)</span></div>" as HTML })</div>
      \(report.notes.map { "<p class=\"note\">\($0)</p>" as HTML })
      """
  }

  private var thresholds: HTML {
    guard let isMet = report.isMet else { return "<p class=\"note\">No thresholds are set.</p>" }
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
    return """
      <p><span class="verdict \(isMet ? "met" : "unmet")">\
      \(isMet ? "All thresholds are met" : "A threshold is not met")</span></p>\
      \(table(["Measure", "#threshold", "#measured", ""], rows))
      """
  }

  // MARK: - Images

  private func images() throws -> HTML {
    let pairs = try report.images.map { pair -> HTML in
      var shots = [try shot(pair.reference, "<b>\(report.reference.name)</b>")]
      for (index, result) in pair.results.enumerated() {
        guard let result else { continue }
        shots.append(try shot(result.image, caption(name(index), result)))
        shots.append(
          try shot(
            result.image.difference(from: pair.reference),
            "<b>difference × 8</b><br>largest \(formatted(result.comparison.largestDifference, decimals: 0)) levels"
          ))
      }
      let without =
        pair.negativePrompt.isEmpty ? "" : ", negative prompt “\(pair.negativePrompt)”" as HTML
      return """
        <div class="pair"><p>“\(pair.prompt)”\(without) \
        <span class="note">seed \(String(pair.seed))</span></p>\
        <div class="shots">\(shots)</div></div>
        """
    }
    if pairs.isEmpty { return "" }
    return """
      <h2>Images</h2><p class="note">Each model's own run from the same noise. Small errors early in a \
      run can lead to a different image of the same quality.</p>\(pairs)
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
}

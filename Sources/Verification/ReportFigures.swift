internal import Calibration
private import Foundation
internal import Support

extension ReportPage {
  /// A measure in the table of figures.
  private struct Figure {
    let name: String
    let definition: String
    /// Which values are good.
    let good: String
    /// The value of a model of the report.
    let value: (Int) -> String
  }

  // MARK: - Figures

  /// Every measure with its definition, one column for each model.
  var figures: HTML {
    let rows = (errorFigures + imageFigures).map { figure -> HTML in
      let values = report.compared.indices.map { index -> HTML in
        "<td class=\"n\">\(figure.value(index))</td>"
      }
      return """
        <tr class="figure"><td><b>\(figure.name)</b></td>\(values)</tr>\
        <tr><td class="note" colspan="\(values.count + 1)">\(figure.definition) \(figure.good)</td></tr>
        """
    }
    return """
      <h2>Figures</h2>\(table(["Measure"] + report.compared.map { "#" + $0.name }, rows, class: "figures"))
      """
  }

  private var errorFigures: [Figure] {
    let limits = Verdict.mostMean
    func spread(
      _ part: @escaping (Predictions<ErrorSpread>) -> ErrorSpread?,
      _ value: @escaping (ErrorSpread) -> Double
    ) -> (Int) -> String {
      { part(report.errors[$0].spreads).map { percent(value($0)) } ?? "–" }
    }
    func most(_ value: Double) -> String { formatted(value * 100, decimals: 0) + " %" }
    return [
      Figure(
        name: "error, mean",
        definition:
          "The noise prediction after guidance, for the reference's own inputs: root of the "
          + "squared differences over the reference's squares, of all prompts together; mean over "
          + "steps.",
        good: "Up to \(most(limits.indistinguishable)) is indistinguishable, up to "
          + "\(most(limits.close)) close, up to \(most(limits.different)) different.",
        value: spread(\.guided, \.mean)),
      Figure(
        name: "error, median", definition: "The same at the middle step.",
        good: "Below the mean where few steps are bad.", value: spread(\.guided, \.median)),
      Figure(
        name: "error, worst step",
        definition: "The same at the worst step, most often one of the last.",
        good: "Up to \(most(Verdict.mostWorst)) is indistinguishable.",
        value: spread(\.guided, \.worst)),
      Figure(
        name: "with the prompt", definition: "Mean error of the prediction before guidance.",
        good: "Guidance multiplies it.", value: spread(\.conditional, \.mean)),
      Figure(
        name: "without a prompt",
        definition: "The same of the prediction for the negative prompt.", good: "",
        value: spread(\.unconditional, \.mean)),
      Figure(
        name: "weights", definition: "Bytes of all weights as they are stored.", good: "",
        value: { formatted(bytes: report.compared[$0].bytes) }),
    ]
  }

  private var imageFigures: [Figure] {
    if report.images.isEmpty { return [] }
    func value(
      _ value: @escaping (VerificationReport.Summary) -> Double?,
      _ text: @escaping (Double) -> String
    ) -> (Int) -> String {
      { value(summaries[$0]).map(text) ?? "–" }
    }
    return [
      Figure(
        name: "PSNR, least",
        definition: "Of images that each model makes from the same noise, over all pixels.",
        good: "From 40 dB differences are hard to see; other images of the same quality have 10 to "
          + "20 dB.", value: value(\.leastPSNR, decibels)),
      Figure(
        name: "PSNR, mean", definition: "Over images that are not identical.", good: "",
        value: value(\.meanPSNR, decibels)),
      Figure(
        name: "SSIM, least", definition: "Structural similarity of these images.",
        good: "1 is identical; from 0.95 differences are hard to see.",
        value: value(\.leastSSIM) { formatted($0, decimals: 4) }),
      Figure(
        name: "cosine, mean",
        definition: "Of the final latents of the reference and of the model.",
        good: "1 is equal; 0.95 over 25 seeds is a usual bound.",
        value: value(\.meanLatentCosine) { formatted($0, decimals: 4) }),
      Figure(
        name: "cosine, least", definition: "The same of the worst image.", good: "",
        value: value(\.leastLatentCosine) { formatted($0, decimals: 4) }),
      Figure(
        name: "latent error, worst", definition: "Relative error of the final latents.",
        good: "", value: value(\.worstLatentError, percent)),
      Figure(
        name: "largest difference", definition: "Of a color of a pixel, of 255 levels.", good: "",
        value: value(\.largestDifference) { formatted($0, decimals: 0) }),
      Figure(
        name: "pixels within 1 level", definition: "Share in the worst image.",
        good: "100 % is equal to the eye.",
        value: value(\.leastShareWithinOneLevel, percent)),
    ]
  }

  /// Errors by the size of the images.
  var sizesOfCalls: HTML {
    let sizes = report.errors[0].sizes
    if sizes.count < 2 { return "" }
    let rows = sizes.map { size -> HTML in
      let cells = report.errors.map { errors -> HTML in
        let spread = errors.of(size)?.spreads.guided
        return """
          <td class="n">\(spread.map { percent($0.mean) } ?? "–")<br>\
          <span class="note">worst \(spread.map { percent($0.worst) } ?? "–")</span></td>
          """
      }
      let count = report.errors[0].of(size)?.calls.count ?? 0
      return """
        <tr><td>\(size.description)<br><span class="note">\(counted(count, "call"))</span></td>\(cells)</tr>
        """
    }
    return """
      <h2>Sizes</h2><p class="note">The error after guidance by image size, mean and worst over steps. A \
      model that is much worse at one size was calibrated at another.</p>\
      \(table(["Size"] + report.compared.map { "#" + $0.name }, rows))
      """
  }

  /// A ratio in decibels.
  func decibels(_ value: Double) -> String {
    value == .infinity ? "identical" : formatted(value, digits: 3) + " dB"
  }

  // MARK: - Curves, blocks and layers

  var curves: HTML {
    let labels = report.steps.map { String($0.step + 1) }
    func chart(
      _ title: String,
      _ spread: (VerificationReport.StepResult, Int) -> (mean: Double, worst: Double)?
    ) -> HTML {
      let lines = report.compared.indices.compactMap { index -> ErrorChart.Line? in
        let points = report.steps.map { spread($0, index) }
        if points.allSatisfy({ $0 == nil }) { return nil }
        return ErrorChart.Line(
          name: name(index), color: color(index), mean: points.map { $0?.mean ?? .nan },
          worst: points.map { $0?.worst ?? .nan })
      }
      return lines.isEmpty ? "" : ErrorChart(title: title, lines: lines, labels: labels).svg
    }
    let predictions = chart("Noise predictions for the reference's inputs") { step, index in
      step.errors[index].map { ($0.pooled.guided, $0.guided.worst) }
    }
    let latents = chart("Latents after each step, in the model's own run") { step, index in
      step.latents[index].map { ($0.mean, $0.worst) }
    }
    return """
      <h2>Step by step</h2><p class="note">Relative error on a logarithmic scale, from noise (left) to image. \
      Lines are over all prompts; shading extends to the worst prompt.</p>\
      <div class="charts">\(predictions)\(latents)</div>
      """
  }

  /// A logarithmic scale for bars.
  private struct BarScale {
    /// The exponents of ten at its ends.
    let low: Double
    let high: Double

    /// `nil` where no value is positive.
    init?(_ values: [Double]) {
      let positive = values.filter { $0.isFinite && $0 > 0 }
      guard let least = positive.min(), let most = positive.max() else { return nil }
      high = ceil(log10(most))
      // Smaller values would leave no difference between larger ones.
      low = max(min(floor(log10(least)), high - 1), high - 5)
    }

    /// In per cent of the scale; 0 for values below it.
    func width(_ value: Double) -> Double {
      guard value > 0 else { return 0 }
      return 100 * min(1, max(0, (log10(value) - low) / (high - low)))
    }

    func range(_ text: (Double) -> String) -> String {
      "\(text(pow(10, low))) to \(text(pow(10, high)))"
    }
  }

  var blocks: HTML {
    let scale = BarScale(report.blocks.flatMap { $0.results.compactMap { $0?.mean } })
    let rows = report.blocks.map { block -> HTML in
      let bars = block.results.enumerated().map { index, spread -> HTML in
        guard let spread, let scale else { return "" }
        return bar(scale.width(spread.mean), color: color(index))
      }
      let figures = block.results.map { $0.map { percent($0.mean) } ?? "–" }
      return """
        <tr><td class="bar"><code>\(block.name)</code> <span class="note">\(block.component)</span>\(bars)</td>\
        \(figures.map { "<td class=\"n\">\($0)</td>" as HTML })</tr>
        """
    }
    let range = scale.map { ", on a logarithmic scale of " + $0.range(percent) } ?? ""
    return """
      <h2>Block by block</h2><p class="note">Mean relative error of each block's output when every model gets \
      the reference's inputs\(range), in order of execution. Errors of earlier blocks propagate to later ones.</p>\
      <div class="bars">\(table(["Block"] + report.compared.indices.map { "#" + name($0) }, rows))</div>
      """
  }

  private func bar(_ width: Double, color: Int) -> HTML {
    width == 0
      ? ""
      : "<div class=\"s\(color)\" style=\"width:\(formatted(width, decimals: 2))%\"></div>"
  }

  /// The sensitivities of the layers, in the order of the U-Net.
  var sensitivities: HTML {
    guard let sensitivities = report.sensitivities,
      let scale = BarScale(sensitivities.values)
    else { return "" }
    let rows = zip(sensitivities.units, sensitivities.values).map { unit, value -> HTML in
      """
      <tr><td class="bar"><code>\(unit.name)</code>\(bar(scale.width(value), color: 0))</td>\
      <td class="n">\(formatted(count: unit.weightCount))</td><td class="n">\(formatted(value, digits: 3))</td></tr>
      """
    }
    func plain(_ value: Double) -> String { formatted(value, digits: 2) }
    return """
      <h2>Sensitivity</h2><p class="note">How much the noise prediction suffers when one part of the reference \
      alone is rounded coarsely: the squared error, relative to the mean of all parts, for steps of the root mean \
      square of its weights; on a logarithmic scale of \(scale.range(plain)). Sensitive parts deserve more bits.</p>\
      <details><summary>\(counted(rows.count, "part"))</summary>\
      <div class="bars">\(table(["Part", "#weights", "#sensitivity"], rows))</div></details>
      """
  }
}

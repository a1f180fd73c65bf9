private import Foundation
private import Support
private import Tensors

/// A line chart of relative error by step, as SVG without scripts: one line per model on a
/// logarithmic scale, shaded up to the worst case if there is more than one image.
struct ErrorChart {
  struct Line {
    let name: String
    /// Index of the color in the page's style.
    let color: Int
    let mean: [Double]
    let worst: [Double]

    var hasErrors: Bool { worst.contains { $0 != 0 } }
  }

  let title: String
  let lines: [Line]
  /// The label of each step.
  let labels: [String]

  /// Narrow, so that labels can be read on a phone.
  private static let size = (width: 480.0, height: 290.0)
  private static let frame = (left: 74.0, right: 14.0, top: 14.0, bottom: 46.0)

  var svg: HTML {
    let values = lines.flatMap { $0.mean + $0.worst }.filter { $0.isFinite && $0 > 0 }
    guard let least = values.min(), let most = values.max(), let count = lines.first?.mean.count
    else {
      return "<p class=\"note\">\(title): no model differs from the reference at any step.</p>"
    }
    let low = floor(log10(least))
    let high = max(low + 1, ceil(log10(most)))
    let plot = (
      width: Self.size.width - Self.frame.left - Self.frame.right,
      height: Self.size.height - Self.frame.top - Self.frame.bottom
    )
    func x(_ step: Int) -> Double {
      Self.frame.left + plot.width * (count < 2 ? 0.5 : Double(step) / Double(count - 1))
    }
    func y(_ value: Double) -> Double {
      // Zero has no logarithm and is drawn at the bottom.
      let place = value > 0 ? (log10(value) - low) / (high - low) : 0
      return Self.frame.top + plot.height * (1 - min(max(place, 0), 1))
    }
    func points(_ values: [Double]) -> String {
      values.enumerated().filter { $0.element.isFinite }
        .map { "\(formatted(x($0.offset), decimals: 1)),\(formatted(y($0.element), decimals: 1))" }
        .joined(separator: " ")
    }

    var body: HTML = ""
    let decades = Int(high - low)
    for decade in stride(from: 0, through: decades, by: max(1, (decades + 5) / 6)) {
      let value = pow(10, low + Double(decade))
      body =
        body + """
          <line class="grid" x1="\(formatted(Self.frame.left, decimals: 0))" x2="\(formatted(Self.size.width - Self.frame.right, decimals: 0))" \
          y1="\(formatted(y(value), decimals: 1))" y2="\(formatted(y(value), decimals: 1))"/>\
          <text class="tick" text-anchor="end" x="\(formatted(Self.frame.left - 8, decimals: 0))" \
          y="\(formatted(y(value) + 4, decimals: 1))">\(percent(value))</text>
          """
    }
    let every = max(1, (count + 7) / 8)
    for step in stride(from: 0, to: count, by: every) {
      body =
        body + """
          <text class="tick" text-anchor="middle" x="\(formatted(x(step), decimals: 1))" \
          y="\(formatted(Self.size.height - Self.frame.bottom + 18, decimals: 0))">\(labels[step])</text>
          """
    }
    body =
      body + """
        <text class="tick" text-anchor="middle" x="\(formatted(Self.frame.left + plot.width / 2, decimals: 0))" \
        y="\(formatted(Self.size.height - 6, decimals: 0))">step</text>
        """
    // The candidate is drawn last, above the baselines. A model without errors is left out, because
    // the scale is logarithmic.
    for line in lines.reversed() where line.hasErrors {
      if line.mean != line.worst {
        let band =
          points(line.worst) + " "
          + points(line.mean).split(separator: " ").reversed()
          .joined(separator: " ")
        body = body + "<polygon class=\"band s\(line.color)\" points=\"\(band)\"/>"
      }
      body = body + "<polyline class=\"line s\(line.color)\" points=\"\(points(line.mean))\"/>"
      for (step, value) in line.mean.enumerated() where value.isFinite {
        body =
          body + """
            <circle class="dot s\(line.color)" cx="\(formatted(x(step), decimals: 1))" cy="\(formatted(y(value), decimals: 1))" r="2.5">\
            <title>\(line.name), step \(step + 1): \(percent(value)), worst \(percent(line.worst[step]))</title></circle>
            """
      }
    }
    return """
      <figure><figcaption>\(title)</figcaption>\
      <svg viewBox="0 0 \(Int(Self.size.width)) \(Int(Self.size.height))" role="img" \
      aria-label="\(title)">\(body)</svg>\(legend)</figure>
      """
  }

  private var legend: HTML {
    let items = lines.map { line -> HTML in
      let name = line.hasErrors ? line.name : line.name + ": no difference"
      return "<span class=\"key\"><i class=\"swatch s\(line.color)\"></i>\(name)</span>"
    }
    return "<p class=\"legend\">\(items)</p>"
  }
}

/// A ratio as a percentage with two significant digits.
func percent(_ ratio: Double) -> String { formatted(ratio * 100, digits: 2) + "\u{202f}%" }

private import Foundation
private import Support

/// A chart of predicted errors, on a logarithmic scale, by size, as an SVG file without scripts: a line
/// for each output, and a dot for each type.
struct SizeErrorChart {
  let curves: [SizeErrorPlan.Curve]

  private static let size = (width: 720.0, height: 420.0)
  private static let frame = (left: 70.0, right: 24.0, top: 20.0, bottom: 52.0)
  /// Distinct for people with color blindness (Okabe and Ito 2008).
  private static let colors = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]

  private var plot: (width: Double, height: Double) {
    (
      Self.size.width - Self.frame.left - Self.frame.right,
      Self.size.height - Self.frame.top - Self.frame.bottom
    )
  }

  var svg: String {
    let points = curves.flatMap { $0.points + $0.types }
    let errors = points.map(\.error).filter { $0 > 0 }
    let low = floor(log10(errors.min() ?? 0.001))
    let high = max(low + 1, ceil(log10(errors.max() ?? 1)))
    let most = Double(points.map(\.bytes).max() ?? 1)
    let least = Double(points.map(\.bytes).min() ?? 0)
    let span = max(1, most - least)

    func x(_ bytes: Double) -> Double { Self.frame.left + plot.width * (bytes - least) / span }
    func y(_ error: Double) -> Double {
      let place = error > 0 ? (log10(error) - low) / (high - low) : 0
      return Self.frame.top + plot.height * (1 - place)
    }
    func at(_ number: Double) -> String { formatted(number, decimals: 1) }

    var body: [String] = []
    func text(_ content: String, _ x: Double, _ y: Double, anchor: String) {
      body.append(
        #"<text x="\#(at(x))" y="\#(at(y))" text-anchor="\#(anchor)">\#(content.escaped)</text>"#)
    }
    for decade in Int(low)...Int(high) {
      let error = pow(10, Double(decade))
      body.append(
        #"<line x1="\#(at(Self.frame.left))" x2="\#(at(Self.size.width - Self.frame.right))" "#
          + #"y1="\#(at(y(error)))" y2="\#(at(y(error)))" stroke="lightgray"/>"#)
      text(
        QuantizationTarget.error(0).text(error), Self.frame.left - 8, y(error) + 4, anchor: "end")
    }
    for part in 0...4 {
      let bytes = least + span * Double(part) / 4
      text(
        formatted(bytes: Int(bytes)), x(bytes), Self.size.height - Self.frame.bottom + 20,
        anchor: part == 0 ? "start" : part == 4 ? "end" : "middle")
    }
    text(
      "size of the output", Self.frame.left + plot.width / 2, Self.size.height - 10,
      anchor: "middle")
    for (index, curve) in curves.enumerated() {
      let color = Self.colors[index % Self.colors.count]
      let line = curve.points.filter { $0.error > 0 }.map {
        "\(at(x(Double($0.bytes)))),\(at(y($0.error)))"
      }
      body.append(
        #"<polyline points="\#(line.joined(separator: " "))" fill="none" stroke="\#(color)" "#
          + #"stroke-width="2"/>"#)
      for point in curve.types {
        let place = (x: x(Double(point.bytes)), y: y(point.error))
        body.append(#"<circle cx="\#(at(place.x))" cy="\#(at(place.y))" r="3" fill="\#(color)"/>"#)
        let isRight = place.x > Self.frame.left + 0.8 * plot.width
        text(
          point.type ?? "", place.x + (isRight ? -6 : 6), place.y - 5,
          anchor: isRight ? "end" : "start")
      }
      let top = Self.frame.top + 14 + 18 * Double(index)
      body.append(
        #"<rect x="\#(at(Self.size.width - 290))" y="\#(at(top - 9))" width="12" height="10" "#
          + #"fill="\#(color)"/>"#)
      text(curve.title, Self.size.width - 272, top, anchor: "start")
    }
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.size.width)) \
      \(Int(Self.size.height))" font-family="sans-serif" font-size="12" role="img" \
      aria-label="predicted error of the guided prediction by size">
      <rect width="100%" height="100%" fill="white"/>
      \(body.joined(separator: "\n"))
      </svg>

      """
  }
}

extension String {
  /// The text with the characters escaped that have a meaning in XML.
  fileprivate var escaped: String {
    replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }
}

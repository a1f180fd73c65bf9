private import Foundation
private import Support

/// A chart of predicted errors, on a logarithmic scale, by size, as an SVG file without scripts: a line
/// for each output, and a dot for each type.
struct SizeErrorChart {
  private let curves: [SizeErrorPlan.Curve]
  /// Bytes at the left and right end.
  private let bytes: ClosedRange<Double>
  /// Powers of ten at the bottom and the top.
  private let decades: ClosedRange<Int>

  private static let size = (width: 720.0, height: 420.0)
  private static let frame = (left: 76.0, right: 24.0, top: 20.0, bottom: 52.0)
  private static let fontSize = 12.0
  /// Distinct for people with color blindness (Okabe and Ito 2008).
  private static let colors = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"]
  /// Smaller errors are drawn at the bottom: fp16 arithmetic alone has larger ones.
  private static let leastDecade = -4

  init(curves: [SizeErrorPlan.Curve]) {
    self.curves = curves
    let points = curves.flatMap { $0.points + $0.types }
    let errors = points.map(\.error).filter { $0 > 0 }
    let low = max(Self.leastDecade, Int(floor(log10(errors.min() ?? 0.001))))
    decades = low...max(low + 1, Int(ceil(log10(errors.max() ?? 1))))
    let least = Double(points.map(\.bytes).min() ?? 0)
    let most = Double(points.map(\.bytes).max() ?? 1)
    let margin = max(1, 0.02 * (most - least))
    bytes = (least - margin)...(most + margin)
  }

  private var right: Double { Self.size.width - Self.frame.right }
  private var bottom: Double { Self.size.height - Self.frame.bottom }

  private func x(_ bytes: Double) -> Double {
    Self.frame.left + (right - Self.frame.left) * (bytes - self.bytes.lowerBound)
      / (self.bytes.upperBound - self.bytes.lowerBound)
  }

  private func y(_ error: Double) -> Double {
    let place = error > 0 ? log10(error) : -.infinity
    let share =
      (max(place, Double(decades.lowerBound)) - Double(decades.lowerBound))
      / Double(decades.count - 1)
    return bottom - share * (bottom - Self.frame.top)
  }

  var svg: String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.size.width)) \
    \(Int(Self.size.height))" font-family="sans-serif" font-size="\(at(Self.fontSize))" role="img" \
    aria-label="predicted error of the guided prediction by size">
    <rect width="100%" height="100%" fill="white"/>
    \((scales + lines + legend + dots).joined(separator: "\n"))
    </svg>

    """
  }

  // MARK: - Parts

  private var scales: [String] {
    var parts: [String] = []
    for decade in decades {
      let error = pow(10, Double(decade))
      parts.append(
        #"<line x1="\#(at(Self.frame.left))" x2="\#(at(right))" y1="\#(at(y(error)))" "#
          + #"y2="\#(at(y(error)))" stroke="lightgray"/>"#)
      parts.append(
        text(
          formatted(100 * error, digits: 1) + " %", Self.frame.left - 8, y(error) + 4,
          anchor: "end"))
    }
    for size in roundSizes {
      parts.append(
        #"<line x1="\#(at(x(size)))" x2="\#(at(x(size)))" y1="\#(at(bottom))" "#
          + #"y2="\#(at(bottom + 5))" stroke="gray"/>"#)
      parts.append(text(formatted(bytes: Int(size)), x(size), bottom + 20, anchor: "middle"))
    }
    let middle = (Self.frame.top + bottom) / 2
    parts.append(
      text(
        "size of the output", (Self.frame.left + right) / 2, Self.size.height - 10, anchor: "middle"
      ))
    parts.append(
      #"<text transform="translate(16 \#(at(middle))) rotate(-90)" text-anchor="middle">"#
        + "predicted error</text>")
    return parts
  }

  /// Sizes with one or two digits, three to seven of them.
  private var roundSizes: [Double] {
    let span = bytes.upperBound - bytes.lowerBound
    let power = pow(10, floor(log10(span / 3)))
    let step = [5, 2, 1].map { $0 * power }.first { span / $0 >= 3 } ?? power
    let first = ceil(bytes.lowerBound / step) * step
    return Array(stride(from: first, through: bytes.upperBound, by: step))
  }

  private var lines: [String] {
    curves.enumerated().map { index, curve in
      let line = curve.points.map { "\(at(x(Double($0.bytes)))),\(at(y($0.error)))" }
      return #"<polyline points="\#(line.joined(separator: " "))" fill="none" "#
        + #"stroke="\#(color(index))" stroke-width="2"/>"#
    }
  }

  private var legend: [String] {
    curves.enumerated().flatMap { index, curve in
      let top = Self.frame.top + 14 + 18 * Double(index)
      return [
        #"<rect x="\#(at(Self.size.width - 290))" y="\#(at(top - 9))" width="12" height="10" "#
          + #"fill="\#(color(index))"/>"#,
        text(curve.title, Self.size.width - 272, top, anchor: "start"),
      ]
    }
  }

  /// The dots of types. A dot whose name would cover another name shows it on hovering alone.
  private var dots: [String] {
    var parts: [String] = []
    var taken: [Area] = []
    for (index, curve) in curves.enumerated() {
      for point in curve.types {
        let name = point.type ?? ""
        let (x, y) = (x(Double(point.bytes)), y(point.error))
        parts.append(
          #"<circle cx="\#(at(x))" cy="\#(at(y))" r="3" fill="\#(color(index))">"#
            + "<title>\(name.escaped)</title></circle>")
        let width = 0.6 * Self.fontSize * Double(name.count)
        let places = [(6.0, -5.0, "start"), (-6, -5, "end"), (6, 13, "start"), (-6, 13, "end")]
        for (dx, dy, anchor) in places {
          let area = Area(
            left: x + dx - (anchor == "end" ? width : 0), bottom: y + dy, width: width,
            height: Self.fontSize)
          if area.left < Self.frame.left || area.right > right || taken.contains(where: area.meets)
          {
            continue
          }
          taken.append(area)
          parts.append(text(name, x + dx, y + dy, anchor: anchor))
          break
        }
      }
    }
    return parts
  }

  /// The place of a name.
  private struct Area {
    let left, bottom, width, height: Double
    var right: Double { left + width }

    func meets(_ other: Area) -> Bool {
      left < other.right && other.left < right && bottom - height < other.bottom
        && other.bottom - other.height < bottom
    }
  }

  private func color(_ index: Int) -> String { Self.colors[index % Self.colors.count] }

  private func text(_ content: String, _ x: Double, _ y: Double, anchor: String) -> String {
    #"<text x="\#(at(x))" y="\#(at(y))" text-anchor="\#(anchor)">\#(content.escaped)</text>"#
  }

  private func at(_ number: Double) -> String { formatted(number, decimals: 1) }
}

extension String {
  /// The text with the characters escaped that have a meaning in XML.
  fileprivate var escaped: String {
    replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }
}

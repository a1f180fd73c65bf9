private import Foundation
package import Support

/// Images in rows of equal tiles, with a line of text above each row and lines below the last.
package struct LabelledSheet: Sendable {
  package struct Row: Sendable {
    package let label: String
    package let images: [Image]

    package init(label: String, images: [Image]) {
      self.label = label
      self.images = images
    }
  }

  private let rows: [Row]
  private let notes: [String]

  private static let margin = 4
  /// Narrower sheets would cut most labels.
  private static let leastWidth = 512
  private static let background: UInt8 = 255

  /// - Parameters:
  ///   - rows: at least one, each with an image or more.
  ///   - notes: lines below the images, which are wrapped.
  package init(_ rows: [Row], notes: [String]) {
    self.rows = rows
    self.notes = notes
  }

  /// The size of ``image`` for images of these sizes.
  package static func size(rows: [[ImageSize]], notes: [String]) -> ImageSize {
    let tile = tile(of: rows)
    let columns = rows.map(\.count).max() ?? 0
    let width = max(leastWidth, columns * (tile.width + margin) + margin)
    let lines = lines(of: notes, width: width).count
    return ImageSize(
      width: width,
      height: rows.count * (LabelGlyphs.height + tile.height + 2 * margin)
        + lines * LabelGlyphs.height + 2 * margin)
  }

  package var image: Image {
    let sizes = rows.map { $0.images.map { ImageSize(width: $0.width, height: $0.height) } }
    let tile = Self.tile(of: sizes)
    let size = Self.size(rows: sizes, notes: notes)
    var sheet = Image(
      width: size.width, height: size.height, red: Self.background, green: Self.background,
      blue: Self.background)
    var top = Self.margin
    for row in rows {
      sheet.draw(row.label, left: Self.margin, top: top)
      top += LabelGlyphs.height
      for (column, image) in row.images.enumerated() {
        sheet.place(image, left: Self.margin + column * (tile.width + Self.margin), top: top)
      }
      top += tile.height + 2 * Self.margin
    }
    for line in Self.lines(of: notes, width: size.width) {
      sheet.draw(line, left: Self.margin, top: top)
      top += LabelGlyphs.height
    }
    return sheet
  }

  private static func tile(of rows: [[ImageSize]]) -> ImageSize {
    let all = rows.joined()
    return ImageSize(
      width: all.map(\.width).max() ?? 0, height: all.map(\.height).max() ?? 0)
  }

  /// The notes, wrapped between words where possible.
  private static func lines(of notes: [String], width: Int) -> [String] {
    let most = max(1, (width - 2 * margin) / LabelGlyphs.width)
    return notes.flatMap { note in
      var lines: [String] = []
      var rest = Substring(note)
      while rest.count > most {
        let end = rest.index(rest.startIndex, offsetBy: most)
        let space = rest[...end].lastIndex(of: " ").flatMap { $0 > rest.startIndex ? $0 : nil }
        lines.append(String(rest[..<(space ?? end)]))
        rest = rest[(space ?? end)...].drop { $0 == " " }
      }
      return lines + [String(rest)]
    }
  }
}

extension Image {
  /// Copies an image into this one.
  ///
  /// - Precondition: it fits at that place.
  mutating func place(_ image: Image, left: Int, top: Int) {
    for row in 0..<image.height {
      let source = row * image.width * 3
      let target = ((top + row) * width + left) * 3
      pixels.replaceSubrange(
        target..<target + image.width * 3, with: image.pixels[source..<source + image.width * 3])
    }
  }

  /// Draws a line of black text. Characters beyond U+00FF become question marks, and text that does not
  /// fit ends in three dots.
  fileprivate mutating func draw(_ text: String, left: Int, top: Int) {
    let most = max(0, (width - left) / LabelGlyphs.width)
    let shown = text.count <= most ? text : String(text.prefix(max(0, most - 3))) + "..."
    for (place, character) in shown.prefix(most).enumerated() {
      draw(
        glyph: LabelGlyphs.coverage(of: character), left: left + place * LabelGlyphs.width, top: top
      )
    }
  }

  /// - Parameter glyph: the coverage of each pixel, 0 to 15.
  private mutating func draw(glyph: [UInt8], left: Int, top: Int) {
    for (index, coverage) in glyph.enumerated() where coverage > 0 {
      let (x, y) = (left + index % LabelGlyphs.width, top + index / LabelGlyphs.width)
      guard x < width, y < height else { continue }
      for channel in 0..<3 {
        let place = (y * width + x) * 3 + channel
        pixels[place] = UInt8(Int(pixels[place]) * (15 - Int(coverage)) / 15)
      }
    }
  }
}

extension LabelGlyphs {
  private static let bytes = Array(
    Data(base64Encoded: coverage, options: .ignoreUnknownCharacters) ?? Data())
  private static let places = Dictionary(
    uniqueKeysWithValues: codes.enumerated().map { (UInt32($0.element), $0.offset) })

  /// The coverage of each pixel, 0 to 15, rows from the top.
  fileprivate static func coverage(of character: Character) -> [UInt8] {
    let scalar = character.unicodeScalars.count == 1 ? character.unicodeScalars.first?.value : nil
    guard let place = scalar.flatMap({ places[$0] }) ?? places[0x3F] else { return [] }
    let count = width * height / 2
    return bytes[place * count..<(place + 1) * count].flatMap { [$0 & 15, $0 >> 4] }
  }
}

import Sampling
package import Support

extension VerificationReport {
  /// The files of a report folder.
  package static let fileNames = ["report.json", "index.html"]

  /// An upper bound of the bytes of a report's images, which are its largest part.
  ///
  /// - Parameter images: the number of images of the candidate.
  package static func mostImageBytes(images: Int, size: ImageSize) -> Int {
    // The reference's image, the difference, and the candidate's image, in base64.
    images * 3 * (Image.mostBytes(ofPNG: size) * 4 / 3 + 4)
  }

  /// Writes `report.json` and `index.html` to a folder, which is created completely or not at all.
  ///
  /// - Parameter replacing: whether an existing folder at `path` may be replaced.
  /// - Throws: `FileError`, or `PNGError` if an image cannot be encoded.
  package func write(to path: String, replacing: Bool) throws {
    let page = try ReportPage(self).html()
    let folder = try ReplacingFolder(path: path, replacing: replacing)
    for (name, text) in [
      ("report.json", JSONValue.object(json).text(indent: 2) + "\n"), ("index.html", page),
    ] {
      let file = try folder.file(name)
      try file.write([UInt8](text.utf8))
      try file.commit()
    }
    try folder.commit()
  }
}

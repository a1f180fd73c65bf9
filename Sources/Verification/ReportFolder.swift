import Support

extension VerificationReport {
  /// All that a report's folder holds.
  package static let fileNames = ["report.json", "index.html"]

  /// Writes `report.json` and `index.html` to a folder that appears whole or not at all.
  ///
  /// - Parameter replacing: whether a folder that stands at `path` may be replaced.
  /// - Throws: `FileError`, or `PNGError` when a picture cannot be written as PNG.
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

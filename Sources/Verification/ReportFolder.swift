import Support

extension VerificationReport {
  /// The files of a report folder.
  package static let fileNames = ["report.json", "index.html"]

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

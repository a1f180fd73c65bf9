extension CodeFormat {
  /// Symmetric codes with a scale for each group of a row: `weight = scale * code`.
  ///
  /// - Parameter groupSize: the consecutive weights of a row that share a scale, stored as float16;
  ///   `nil` for one scale for each row (output channel), stored as float32.
  package static func symmetric(bits: Int, groupSize: Int?) -> CodeFormat {
    CodeFormat(
      name: "int\(bits)" + (groupSize.map { "-g\($0)" } ?? ""), bits: bits,
      scales: [
        Factor(part: "scales", kind: groupSize == nil ? .f32 : .f16, runLength: groupSize)
      ])
  }
}

/// Names of symmetric codes: `int16`, `int8`, `int8-g64`, `int4-g32`.
struct SymmetricNaming: CodeNaming {
  func format(named name: String) -> CodeFormat? {
    let pieces = name.split(separator: "-", omittingEmptySubsequences: false)
    guard let first = pieces.first, pieces.count <= 2,
      let packer = CodePackers.all.first(where: { "int\($0.bits)" == first })
    else { return nil }
    var groupSize: Int?
    if pieces.count == 2 {
      guard pieces[1].first == "g", let size = Int(pieces[1].dropFirst()), size > 0 else {
        return nil
      }
      groupSize = size
    }
    let format = CodeFormat.symmetric(bits: packer.bits, groupSize: groupSize)
    // The number of a group may not have leading zeros.
    return format.name == name ? format : nil
  }
}

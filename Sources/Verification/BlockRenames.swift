package import Support

/// Blocks of a stripped U-Net that have other numbers than in the model it was cut from.
package struct BlockRenames: Sendable, Equatable {
  /// The original's block by the candidate's, in the order of the cuts.
  private let cuts: [[String: String]]

  package init(_ blocks: [String: String] = [:]) { cuts = [blocks] }

  /// The renames of the cuts that made `candidate` and not `reference`, from their provenance: a
  /// step that has `renamed` lists the blocks that it gave other numbers.
  package init(candidate: JSONObject, reference: JSONObject) {
    let made = candidate["steps"]?.array ?? []
    let shared = zip(made, reference["steps"]?.array ?? []).prefix { $0 == $1 }.count
    cuts = made.dropFirst(shared).compactMap { step in
      step.object?["renamed"]?.array.map { renames in
        var blocks: [String: String] = [:]
        for rename in renames {
          guard let object = rename.object, let student = object["student"]?.string,
            let teacher = object["teacher"]?.string
          else { continue }
          blocks[student] = teacher
        }
        return blocks
      }
    }
  }

  /// The original's name of a block or of a tensor of the U-Net.
  package func original(of name: String) -> String {
    // The last cut was made of what the one before it left.
    cuts.reversed().reduce(name) { name, blocks in
      var prefix = Substring(name)
      while !prefix.isEmpty {
        if let block = blocks[String(prefix)] { return block + name.dropFirst(prefix.count) }
        prefix = prefix.lastIndex(of: ".").map { prefix[..<$0] } ?? ""
      }
      return name
    }
  }
}

private import ModelSources
package import Support

/// Maps block names of a stripped U-Net to their names in the original, where stripping renumbered
/// blocks.
package struct BlockRenames: Sendable, Equatable {
  /// For each strip, in order: the block's name before it, by the name after it.
  private let strips: [[String: String]]

  package init(_ blocks: [String: String] = [:]) { strips = [blocks] }

  /// Reads the renames from provenance: those of the candidate's steps that the reference does not
  /// share. A step lists the blocks that it renumbered under `renamed`.
  package init(candidate: JSONObject, reference: JSONObject) {
    let steps = candidate[ModelSource.stepsFact]?.array ?? []
    let shared = zip(steps, reference[ModelSource.stepsFact]?.array ?? []).prefix { $0 == $1 }.count
    strips = steps.dropFirst(shared).compactMap { step in
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

  /// The original name of a U-Net block, or of a tensor in one.
  package func original(of name: String) -> String {
    // The last strip is undone first.
    strips.reversed().reduce(name) { name, blocks in
      var prefix = Substring(name)
      while !prefix.isEmpty {
        if let block = blocks[String(prefix)] { return block + name.dropFirst(prefix.count) }
        prefix = prefix.lastIndex(of: ".").map { prefix[..<$0] } ?? ""
      }
      return name
    }
  }
}

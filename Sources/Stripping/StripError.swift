package import Support

/// A strip that is not possible for a U-Net.
package struct StripError: RemediableError, Equatable {
  /// What prevents the strip.
  package enum Reason: Error, Hashable, Sendable {
    case unknownRecipe(String, known: [String])
    /// Transformer blocks to keep of attentions of a depth that the recipe does not change.
    case unknownDepth(Int, recipe: String, known: [Int])
    case badBlocks([Int], depth: Int)
    case recipeDepth(recipe: String, attention: String, depth: Int, found: Int)
    case recipeMismatch(
      recipe: String, levels: Int, layersPerBlock: Int, foundLevels: Int, foundLayers: [Int])
    case nothingToDrop
    case unknownBlock(String, suggestions: [String])
    /// `alsoDrop` is a block whose removal would make the drop possible.
    case notDroppable(String, because: String, alsoDrop: String? = nil)
    case notInnermost(level: String, innermost: String)
    case lastLevel(String)
    /// The mirrored level must lose a layer, but none of its layers can be removed.
    case noMirror(of: String, in: String)
    case channels(block: String, expected: [Int], found: [Int])
    case midBlock(dropped: String, alsoDrop: String)
    case tiedDepth(block: String, keeps: Int, tiedTo: String, whichKeeps: Int)
    case tensorMismatch(String, from: String, found: String, expected: String)
    /// The student's config is not supported, for the stated reason.
    case configRefused(String)
  }

  /// The model, as its reader names it.
  package let location: String
  package let reason: Reason

  package init(location: String, _ reason: Reason) {
    self.location = location
    self.reason = reason
  }

  package var description: String {
    switch reason {
    // The request is at fault, not the file.
    case .unknownRecipe, .unknownDepth, .badBlocks, .recipeDepth, .recipeMismatch: sentence
    default: "\(location): \(sentence)"
    }
  }

  /// The folder of the U-Net's config.
  private var unet: String {
    location.hasSuffix("/config.json") ? String(location.dropLast(12)) : location
  }

  private var sentence: String {
    switch reason {
    case .unknownRecipe(let name, let known):
      "unknown recipe '\(shown(name))'\(didYouMean(similarNames(to: name, among: known)))"
        + "; expected \(known.joined(separator: ", "))"
    case .recipeMismatch(let recipe, let levels, let layers, let foundLevels, let foundLayers):
      "the recipe '\(recipe)' needs a U-Net of \(levels) levels with \(layers) layers each, but "
        + "\(unet) has \(foundLevels) levels with \(list(foundLayers)) layers"
    case .unknownDepth(let depth, let recipe, let known):
      "the recipe '\(recipe)' drops no transformer blocks of attentions of depth \(depth)"
        + (known.isEmpty
          ? "" : "; expected depth " + known.map(String.init).joined(separator: " or "))
    case .badBlocks(let blocks, let depth):
      "transformer blocks \(list(blocks)) cannot be kept of attentions of depth \(depth); expected "
        + "distinct numbers from 0 to \(depth - 1)"
    case .recipeDepth(let recipe, let attention, let depth, let found):
      "the recipe '\(recipe)' needs attentions of \(depth) transformer blocks, but '\(attention)' "
        + "of \(unet) has \(found)"
    case .nothingToDrop:
      "nothing to strip: neither a recipe nor a block to drop was given"
    case .unknownBlock(let name, _):
      "the U-Net has no block '\(name)'"
    case .notDroppable(let name, let because, _):
      "'\(name)' cannot be dropped: \(because)"
    case .notInnermost(let level, let innermost):
      "'\(level)' cannot be dropped: other levels read its channels, and only the innermost level, "
        + "\(innermost), can be dropped"
    case .lastLevel(let level):
      "'\(level)' cannot be dropped: it is the only level left"
    case .noMirror(let block, let level):
      "'\(block)' cannot be dropped: its mirrored level \(level) must lose a layer too, but "
        + "without any of its layers the channels would not match"
    case .channels(let block, let expected, let found):
      "the remaining blocks do not fit together: \(block) reads \(sum(expected)) channels, but its "
        + "input would have \(sum(found))"
    case .midBlock(let dropped, _):
      "'\(dropped)' cannot be dropped alone: diffusers has no such mid block"
    case .tiedDepth(let block, let keeps, let other, let otherKeeps):
      "\(block) would keep \(keeps) transformer blocks and \(other) \(otherKeeps), but a "
        + "diffusers config gives both the same depth"
    case .tensorMismatch(let tensor, let teacher, let found, let expected):
      "tensor '\(tensor)' of the stripped U-Net comes from '\(teacher)', which is \(found), "
        + "expected \(expected)"
    case .configRefused(let why):
      "the stripped U-Net is not supported: \(why)"
    }
  }

  package var remedy: Remedy? {
    switch reason {
    case .recipeMismatch, .recipeDepth: .choose(.drop, purpose: "to name the blocks instead")
    case .nothingToDrop: .either([.choose(.recipe), .choose(.drop)])
    case .unknownBlock(_, let suggestions):
      suggestions.isEmpty ? nil : .choose(.drop, suggestions)
    case .notDroppable(_, _, let other):
      other.map { .choose(.drop, [$0], purpose: "as well") }
    case .midBlock(_, let other): .choose(.drop, [other], purpose: "as well")
    case .channels: .act("drop another block of its level instead")
    case .tiedDepth: .act("drop the same number from both, or drop the whole mid block")
    case .unknownRecipe, .unknownDepth, .badBlocks, .notInnermost, .lastLevel, .noMirror,
      .tensorMismatch, .configRefused:
      nil
    }
  }

  private func list(_ numbers: [Int]) -> String { numbers.map(String.init).joined(separator: ", ") }

  private func sum(_ channels: [Int]) -> String {
    channels.map(String.init).joined(separator: " + ")
  }
}

/// Why a U-Net cannot be stripped as asked.
package struct StripError: Error, Equatable, CustomStringConvertible {
  package enum Reason: Error, Hashable, Sendable {
    case unknownRecipe(String, known: [String])
    /// Transformer blocks to keep of attentions of a depth that the recipe does not cut.
    case unknownDepth(Int, recipe: String, known: [Int])
    case badBlocks([Int], depth: Int)
    case recipeDepth(recipe: String, attention: String, depth: Int, found: Int)
    case recipeMisfit(
      recipe: String, levels: Int, layersPerBlock: Int, foundLevels: Int, foundLayers: [Int])
    case nothingToDrop
    case unknownBlock(String, suggestions: [String])
    case notDroppable(String, because: String)
    case notInnermost(level: String, innermost: String)
    case lastLevel(String)
    /// A level keeps one layer less than its mirror and has none that could go.
    case noMirror(of: String, in: String)
    case channels(block: String, reads: [Int], wouldBeGiven: [Int])
    case midBlock(dropped: String, alsoDrop: String)
    case tiedDepth(block: String, keeps: Int, tiedTo: String, whichKeeps: Int)
    case tensorMisfit(String, from: String, found: String, expected: String)
    /// The derived config is one that cannot be run here; says why.
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
    // What was asked for does not suit; no file is to blame.
    case .unknownRecipe, .unknownDepth, .badBlocks, .recipeDepth, .recipeMisfit: sentence
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
      "there is no recipe '\(name)'; the recipes are \(known.joined(separator: ", "))"
    case .recipeMisfit(let recipe, let levels, let layers, let foundLevels, let foundLayers):
      "the recipe '\(recipe)' is for a U-Net of \(levels) levels with \(layers) layers each, but "
        + "\(unet) has \(foundLevels) levels with \(list(foundLayers)) layers; name the blocks "
        + "with --drop instead"
    case .unknownDepth(let depth, let recipe, let known):
      "the recipe '\(recipe)' cuts no attentions of \(depth) transformer blocks"
        + (known.isEmpty ? "" : ", but those of \(list(known))")
    case .badBlocks(let blocks, let depth):
      "of \(depth) transformer blocks, \(list(blocks)) cannot be kept; choose some of 0 to "
        + "\(depth - 1), each once"
    case .recipeDepth(let recipe, let attention, let depth, let found):
      "the recipe '\(recipe)' is for attentions of \(depth) transformer blocks, but '\(attention)' "
        + "of \(unet) has \(found); name the blocks with --drop instead"
    case .nothingToDrop:
      "nothing to strip: name a recipe or at least one block to drop"
    case .unknownBlock(let name, let suggestions):
      "the U-Net has no block '\(name)'"
        + (suggestions.isEmpty ? "" : "; did you mean \(suggestions.joined(separator: " or "))?")
    case .notDroppable(let name, let because):
      "'\(name)' cannot be dropped: \(because)"
    case .notInnermost(let level, let innermost):
      "'\(level)' cannot be dropped: the levels around it read its channels, and only the "
        + "innermost level, \(innermost), can go"
    case .lastLevel(let level):
      "'\(level)' cannot be dropped: it is the only level that would be left"
    case .noMirror(let block, let level):
      "'\(block)' cannot be dropped: its mirrored level \(level) must lose a layer too, and each "
        + "that it has reads channels that only it can read"
    case .channels(let block, let reads, let given):
      "what is left does not fit together: \(block) reads \(sum(reads)) channels and would be "
        + "given \(sum(given)); drop another block of its level instead"
    case .midBlock(let dropped, let other):
      "'\(dropped)' cannot be dropped alone, because diffusers has no such mid block: drop "
        + "'\(other)' as well"
    case .tiedDepth(let block, let keeps, let other, let otherKeeps):
      "\(block) would keep \(keeps) transformer blocks and \(other) \(otherKeeps), but a "
        + "diffusers config gives both one depth: drop as many of the other, or the whole mid block"
    case .tensorMisfit(let tensor, let teacher, let found, let expected):
      "tensor '\(tensor)' of the stripped U-Net comes from '\(teacher)', which is \(found) "
        + "where \(expected) is expected"
    case .configRefused(let why):
      "what is left cannot be run: \(why)"
    }
  }

  private func list(_ numbers: [Int]) -> String { numbers.map(String.init).joined(separator: ", ") }

  private func sum(_ channels: [Int]) -> String {
    channels.map(String.init).joined(separator: " + ")
  }
}

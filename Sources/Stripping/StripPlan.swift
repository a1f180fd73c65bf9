private import Formats
package import ModelSources
package import Models
private import Support

/// A plan that removes blocks of a U-Net (the teacher): the config of the smaller U-Net (the
/// student), and the teacher's tensor that each of its tensors comes from.
///
/// Each tensor of the student is an unchanged tensor of the teacher, or one filled with zeros. The
/// plan rejects a student that no diffusers config describes, so unmodified diffusers loads the
/// result with exactly the tensors that it expects.
package struct StripPlan: Sendable {
  /// A tensor of the student with its source.
  package struct Origin: Hashable, Sendable {
    /// Its name in the student.
    package let tensor: String
    /// The teacher's tensor that it comes from.
    package let teacher: String
    /// Whether the tensor is filled with zeros and has only the teacher's shape.
    package let isZeroed: Bool
  }

  package let teacher: UNetConfig
  package let student: UNetConfig
  /// Every tensor of the student, in the order of its module list.
  package let origins: [Origin]
  package let ledger: StripLedger

  /// All recipes, by name, with a summary each.
  package static var recipes: [(name: String, summary: String)] {
    StripRecipe.all.map { ($0.name, $0.summary) }
  }

  /// Other names of recipes, sorted.
  package static var recipeAliases: [String] { StripRecipe.aliases.keys.sorted() }

  /// The repository on huggingface.co that holds the trained weights of a recipe's student; `nil` for an
  /// unknown name.
  package static func repository(ofRecipe name: String) -> String? {
    StripRecipe.repositories.first { $0.key.lowercased() == name.lowercased() }?.value
  }

  /// Plans a recipe of `Formats/recipes.md`.
  ///
  /// - Parameter keeping: transformer blocks to keep instead of the recipe's. The key is the number
  ///   of transformer blocks of an attention of the teacher.
  /// - Throws: ``StripError`` when the recipe is unknown or does not fit the teacher.
  package init(
    recipe name: String, keeping: [Int: [Int]] = [:], for teacher: UNetConfig
  ) throws(StripError) {
    let found = member(named: name, of: StripRecipe.all) { recipe in
      [recipe.name] + StripRecipe.aliases.filter { $0.value == recipe.name }.keys
    }
    guard let recipe = found else {
      throw StripError(
        location: teacher.location,
        .unknownRecipe(
          name, known: StripRecipe.all.map(\.name) + Self.recipeAliases))
    }
    let layers = [Int](repeating: recipe.layersPerBlock, count: recipe.levels)
    guard teacher.layersPerBlock == layers else {
      throw StripError(
        location: teacher.location,
        .recipeMismatch(
          recipe: name, levels: recipe.levels, layersPerBlock: recipe.layersPerBlock,
          foundLevels: teacher.levels, foundLayers: teacher.layersPerBlock))
    }
    let drops = recipe.drops + (try Self.drops(of: recipe, keeping: keeping, for: teacher))
    try self.init(dropping: drops, recipe: name, for: teacher)
  }

  /// The transformer blocks that a recipe removes.
  private static func drops(
    of recipe: StripRecipe, keeping: [Int: [Int]], for teacher: UNetConfig
  ) throws(StripError) -> [String] {
    func refuse(_ reason: StripError.Reason) -> StripError {
      StripError(location: teacher.location, reason)
    }
    for (depth, blocks) in keeping.sorted(by: { $0.key < $1.key }) {
      guard recipe.keeps.contains(where: { $0.depth == depth }) else {
        throw refuse(
          .unknownDepth(depth, recipe: recipe.name, known: recipe.keeps.map(\.depth)))
      }
      guard !blocks.isEmpty, Set(blocks).count == blocks.count,
        blocks.allSatisfy({ 0..<depth ~= $0 })
      else { throw refuse(.badBlocks(blocks, depth: depth)) }
    }
    let names = Drop.all(of: Topology(teacher)).map(\.name)
    var drops: [String] = []
    for keep in recipe.keeps {
      let kept = keeping[keep.depth] ?? keep.blocks
      for attention in keep.attentions {
        let prefix = attention.hasSuffix(".*") ? String(attention.dropLast()) : attention
        let found = names.filter { name in
          name.hasPrefix(prefix) && !name.contains("transformer_blocks")
            && (attention.hasSuffix(".*") || name == attention)
        }
        guard !found.isEmpty else {
          throw refuse(
            .recipeDepth(recipe: recipe.name, attention: attention, depth: keep.depth, found: 0))
        }
        for name in found {
          let blocks = names.filter { $0.hasPrefix(name + ".transformer_blocks.") }
          guard blocks.count == keep.depth else {
            throw refuse(
              .recipeDepth(
                recipe: recipe.name, attention: name, depth: keep.depth, found: blocks.count))
          }
          drops += (0..<keep.depth).filter { !kept.contains($0) }
            .map { "\(name).transformer_blocks.\($0)" }
        }
      }
    }
    // Dropping a resnet also removes the transformer blocks of its attention.
    let dropped = recipe.drops.flatMap { pattern in
      ((try? Drop.matching(pattern, in: Topology(teacher))) ?? []).map(\.name)
    }
    return drops.filter { drop in
      !dropped.contains { pair in
        drop.hasPrefix(pair.replacing("resnets", with: "attentions") + ".")
          || drop.hasPrefix(pair + ".")
      }
    }
  }

  /// Plans the removal of blocks by the teacher's names: `down_blocks.1.resnets.1`, `mid_block`,
  /// `up_blocks.*.attentions.0`.
  ///
  /// - Throws: ``StripError`` when a block is unknown or cannot be removed.
  package init(dropping drops: [String], for teacher: UNetConfig) throws(StripError) {
    try self.init(dropping: drops, recipe: nil, for: teacher)
  }

  private init(
    dropping patterns: [String], recipe: String?, for teacher: UNetConfig
  ) throws(StripError) {
    do throws(StripError.Reason) {
      guard !patterns.isEmpty else { throw .nothingToDrop }
      let topology = Topology(teacher)
      var drops: [Drop] = []
      for pattern in patterns { drops += try Drop.matching(pattern, in: topology) }
      let removal = try BlockRemoval(topology, dropping: drops)
      let student = try Self.student(of: removal.topology, teacher: teacher)
      let sources = removal.topology.sources
      origins = try Self.origins(
        of: student, sources: sources, identities: removal.topology.identities, teacher: teacher)
      ledger = Self.ledger(
        recipe: recipe, drops: patterns, removal: removal, sources: sources, origins: origins,
        teacher: teacher, student: student)
      self.teacher = teacher
      self.student = student
    } catch {
      throw StripError(location: teacher.location, error)
    }
  }

  private static func student(
    of topology: Topology, teacher: UNetConfig
  ) throws(StripError.Reason) -> UNetConfig {
    let config = try StudentConfig(of: topology, teacher: teacher)
    do {
      return try UNetConfig(json: config.json, location: teacher.location)
    } catch {
      throw .configRefused("\(error)")
    }
  }

  /// The student's weights. Each tensor is read from `teacher` on access.
  package func weights(from teacher: any WeightSource) -> StrippedSource {
    StrippedSource(self, over: teacher)
  }

  /// The student's model, from that of the teacher: the U-Net is another one.
  package func student(of model: ModelSource) -> ModelSource {
    var copy = model
    if let unet = model[ComponentName.unet] { copy[ComponentName.unet] = student(of: unet) }
    return copy
  }

  /// The student as a component, from that of the teacher. A derived config of a published teacher is
  /// known, and that of its student too, although no published model has the student's sizes.
  package func student(of unet: ModelSource.Component) -> ModelSource.Component {
    var copy = unet
    copy.config = student.json
    copy.weights = weights(from: unet.weights)
    copy.configIsDerived = unet.configIsDerived && !unet.hasPublishedSizes
    return copy
  }
}

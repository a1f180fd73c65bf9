private import Formats
package import Models
package import Tensors

/// How a U-Net becomes a smaller one: the smaller one's config, and where each of its tensors comes
/// from.
///
/// Every tensor of the student is one of the teacher's, unchanged, or the teacher's filled with
/// zeros. What stock diffusers cannot express in a config is refused, so the result loads there
/// with exactly the tensors that it expects.
package struct StripPlan: Sendable {
  /// A tensor of the student.
  package struct Origin: Hashable, Sendable {
    /// Its name in the student.
    package let tensor: String
    /// The teacher's tensor that it comes from.
    package let teacher: String
    /// Whether it only keeps the teacher's shape.
    package let isZeroed: Bool
  }

  package let teacher: UNetConfig
  package let student: UNetConfig
  /// Every tensor of the student, in the order of its module list.
  package let origins: [Origin]
  package let ledger: StripLedger

  /// The names of all recipes, each with what it does.
  package static var recipes: [(name: String, summary: String)] {
    StripRecipe.all.map { ($0.name, $0.summary) }
  }

  /// Plans a recipe of `Formats/recipes.md`.
  package init(recipe name: String, for teacher: UNetConfig) throws(StripError) {
    guard let recipe = StripRecipe.all.first(where: { $0.name == name }) else {
      throw StripError(
        location: teacher.location,
        .unknownRecipe(name, known: StripRecipe.all.map(\.name)))
    }
    let layers = [Int](repeating: recipe.layersPerBlock, count: recipe.levels)
    guard teacher.layersPerBlock == layers else {
      throw StripError(
        location: teacher.location,
        .recipeMisfit(
          recipe: name, levels: recipe.levels, layersPerBlock: recipe.layersPerBlock,
          foundLevels: teacher.levels, foundLayers: teacher.layersPerBlock))
    }
    try self.init(dropping: recipe.drops, recipe: name, for: teacher)
  }

  /// Plans drops by the teacher's block names: `down_blocks.1.resnets.1`, `mid_block`,
  /// `up_blocks.*.attentions.0`.
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
      let surgery = try Surgery(topology, dropping: drops)
      let student = try Self.student(of: surgery.topology, teacher: teacher)
      let sources = surgery.topology.sources
      origins = try Self.origins(
        of: student, sources: sources, identities: surgery.topology.identities, teacher: teacher)
      ledger = Self.ledger(
        recipe: recipe, drops: patterns, surgery: surgery, sources: sources, origins: origins,
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

  /// The student's weights, read from the teacher's as they are asked for.
  package func weights(from teacher: any WeightSource) -> StrippedSource {
    StrippedSource(self, over: teacher)
  }
}

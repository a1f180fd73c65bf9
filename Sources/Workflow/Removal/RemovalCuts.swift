internal import Calibration
internal import ModelSources
internal import Models
internal import Quantization
internal import Stripping
internal import Support

/// Blocks that are removed from a model, with the error that this causes.
struct RemovalCut {
  let plan: StripPlan
  /// The relative error of the guided prediction.
  let error: Double

  /// The dropped blocks.
  var drops: [String] { plan.ledger.drops }
  /// The modules of the U-Net without the blocks.
  var modules: [ModuleSpec] { plan.student.modules }
  /// The parameters that are left, and their share of all, from 0 to 1.
  var parameters: Int { plan.ledger.student.parameters }
  var share: Double { Double(parameters) / Double(plan.ledger.teacher.parameters) }

  /// The student's modules with their names in the teacher.
  ///
  /// - Parameter teacher: the modules of the U-Net before the removal.
  func origins(in teacher: [ModuleSpec]) -> [(module: ModuleSpec, name: String)] {
    let tensors = Dictionary(uniqueKeysWithValues: plan.origins.map { ($0.tensor, $0.teacher) })
    let names = Dictionary(uniqueKeysWithValues: teacher.map { ($0.weight.name, $0.name) })
    return plan.student.modules.compactMap { module in
      tensors[module.weight.name].flatMap { names[$0] }.map { (module, $0) }
    }
  }

  /// The names of the layers before the removal, by those after it.
  func names(in teacher: [ModuleSpec]) -> [String: String] {
    Dictionary(uniqueKeysWithValues: origins(in: teacher).map { ($0.module.name, $0.name) })
  }

  /// The calibration of the model without the blocks: the statistics of the layers that are left, and all
  /// recorded calls, so that errors are those from the original.
  ///
  /// - Parameter student: the model without the blocks.
  /// - Throws: an error of its weights, or `CancellationError`.
  func calibration(
    from original: CalibrationFile, of teacher: [ModuleSpec], for student: ModelSource
  ) throws -> CalibrationFile {
    original.renamed(
      origins(in: teacher).filter { $0.module.kind.isMatrix }.map { ($0.module.name, $0.name) },
      digest: try SourceDigest(student).hexadecimal(of: [ComponentName.unet]))
  }
}

extension MeasuredRemoval {
  /// The largest joint error of ``cuts()``: images with larger ones lose their prompts.
  private static let mostError = 0.2

  /// Nested sets of blocks to remove, from the smallest to the largest, with their errors in some recorded
  /// calls.
  func cuts() throws -> [RemovalCut] {
    try path(until: Self.mostError).map {
      RemovalCut(plan: try StripPlan(dropping: $0.drops, for: model.unet), error: $0.error)
    }
  }
}

extension TargetSearch {
  /// The blocks without which the target is met best, with the search for that model. For a target of the
  /// error, that is the smallest output, else the one with the smallest predicted error.
  ///
  /// - Parameters:
  ///   - removal: the blocks that can be removed.
  ///   - errors: those of rounding the layers of the whole model.
  ///   - planned: the model that a request makes of a model, without reading weights.
  /// - Returns: `nil` where the whole model meets the target best.
  /// - Throws: ``JobError`` where the target is not met without any of the blocks.
  func removing(
    from removal: MeasuredRemoval, _ errors: GuidedErrors,
    planned: @escaping (ModelSource, QuantizationRequest) throws -> ModelSource
  ) throws -> (cut: RemovalCut, search: TargetSearch)? {
    func isBetter(_ left: Prediction, _ right: Prediction) -> Bool {
      isError ? left.bytes < right.bytes : left.error < right.error
    }
    let whole = try prediction(errors)
    var best = whole
    var least = try leastFigure(errors)
    var found: (cut: RemovalCut, search: TargetSearch)?
    for cut in try removal.cuts() {
      let student = cut.plan.student(of: removal.model.source)
      let search = try removing(cut, errors, student: student) { try planned(student, $0) }
      let remaining = try search.errors(nil) { _ in }
      least = min(least, try search.leastFigure(remaining))
      guard let prediction = try search.prediction(remaining) else { continue }
      if let best, !isBetter(prediction, best) { continue }
      (best, found) = (prediction, (cut, search))
    }
    if best == nil { try refuse(below: least) }
    return found
  }
}

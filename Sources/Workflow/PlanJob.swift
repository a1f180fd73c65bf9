internal import Calibration
private import Foundation
internal import ModelSources
internal import Models
internal import Quantization
internal import Support
internal import Tensors

/// Predicts the size and the error of a quantized model for several sizes, without writing it.
package struct PlanJob: Job {
  private let model: String
  private let reading: InputOptions
  private let calibration: String
  private let sizes: [Int]
  private let layout: LayoutRequest
  private let allowsRemoval: Bool
  private let chart: (path: String, replacing: Bool)?

  /// - Parameters:
  ///   - sizes: bytes of whole outputs; empty for sizes that are spread over all that can be reached.
  ///   - layout: the output. A program that reads several layouts has a curve for each; without a
  ///     program, both kinds of `.decant` files have one.
  ///   - allowsRemoval: whether each output has a second curve, of models without some blocks.
  ///   - chart: the SVG file to write; `nil` writes none.
  package init(
    model: String, reading: InputOptions, calibration: String, sizes: [Int],
    layout: LayoutRequest = LayoutRequest(), allowsRemoval: Bool = false,
    chart: (path: String, replacing: Bool)? = nil
  ) {
    self.allowsRemoval = allowsRemoval
    self.model = model
    self.reading = reading
    self.calibration = calibration
    self.sizes = sizes
    self.layout = layout
    self.chart = chart
  }

  package func perform(_ events: @escaping EventSink) async throws -> SizeErrorPlan {
    if let chart {
      try refuseOverwriting(
        chart.path, replacing: chart.replacing,
        inputs: [model, calibration] + reading.composition.inputs)
    }
    let source = try ModelSource.reading(model, reading, changes: .noted, events)
    let bound = try Model.bind(source)
    let file = try CalibrationFile.readingCalls(calibration, of: bound)
    guard let unet = bound[ComponentName.unet] else {
      throw JobError.noUNet(source.location)
    }
    let request = QuantizationRequest(type: nil)
    let outputs = try layouts.map { try BudgetOutput($0, $0.writer()) }
    var budgets: [(output: BudgetOutput, budget: Budget)] = []
    for output in outputs {
      try output.writer.checkLoadable(source, to: model, options: output.layout.options)
      let planned = try QuantizedModel(bound, request) {
        try output.layout.fitting(
          $0, of: $1, in: source, by: output.writer, rest: $2, output: nil)
      }
      budgets.append(
        (output, try Budget(source, unet, request, planned: planned.model, for: output, events)))
    }
    let errors = try guidedErrors(of: bound, modules: unet.modules, file, events)
    let plan = SizeErrorPlan(
      model: source.location, sizes: sizes,
      curves: try budgets.flatMap { output, budget -> [SizeErrorPlan.Curve] in
        let whole = PlannedModelForm(budget, errors)
        let cuts = try allowedCuts(of: bound, file, for: output, events).map { cut in
          PlannedModelForm(
            budget.removing(cut, from: unet.modules),
            errors.renamed(cut.names(in: unet.modules)), cut)
        }
        let wanted = sizes(of: [whole] + cuts)
        return [curve(output, [whole], wanted)]
          + (cuts.isEmpty ? [] : [curve(output, [whole] + cuts, wanted)])
      }, chart: chart?.path)
    if let least = plan.curves.map(\.smallest).min(), plan.curves.allSatisfy(\.points.isEmpty) {
      throw JobError(
        "\(source.location): no output can be as small as \(formatted(bytes: sizes.max() ?? 0)); the "
          + "smallest is \(formatted(bytes: least))", remedy: .act("plan for larger sizes"))
    }
    if let chart { try plan.writeChart(to: chart.path, replacing: chart.replacing) }
    return plan
  }

  /// The outputs to plan for.
  private var layouts: [LayoutRequest] {
    if layout.kind != nil { return [layout] }
    guard let program = layout.options.program else {
      return [LayoutRequest(), LayoutRequest(codes: false)]
    }
    let writers = Layouts.writers.filter { $0.profiles.contains { $0.name == program } }
    // Without one, the layout refuses the program.
    return writers.isEmpty
      ? [layout] : writers.map { LayoutRequest(kind: $0.name, program: program) }
  }

  /// Nested sets of blocks to remove, of which the program of an output loads the result.
  private func allowedCuts(
    of model: Model, _ file: CalibrationFile, for output: BudgetOutput,
    _ events: @escaping EventSink
  ) throws -> [RemovalCut] {
    if !allowsRemoval { return [] }
    let (writer, options, location) = (output.writer, output.layout.options, self.model)
    let checkLoadable = { @Sendable (model: ModelSource) throws in
      try writer.checkLoadable(model, to: location, options: options)
    }
    do {
      try MeasuredRemoval.check(model, checkLoadable: checkLoadable)
    } catch let error as any RemediableError {
      events(.note("no block can be removed for a \(writer.title(for: output.profile)): \(error)"))
      return []
    }
    return try MeasuredRemoval(model, file, checkLoadable: checkLoadable, events).cuts()
  }

  /// The bytes of the outputs to plan for.
  private func sizes(of forms: [PlannedModelForm]) -> [Double] {
    if !sizes.isEmpty { return sizes.map(Double.init) }
    let least = forms.map(\.least).min() ?? 0
    let most = forms.map(\.most).max() ?? 0
    let count = 10
    return (0..<count).map { least * pow(most / least, Double($0) / Double(count - 1)) }
  }

  /// - Parameters:
  ///   - forms: the whole model, and those without blocks. Each point is of the one with the least error.
  ///   - wanted: bytes of outputs.
  private func curve(
    _ output: BudgetOutput, _ forms: [PlannedModelForm], _ wanted: [Double]
  ) -> SizeErrorPlan.Curve {
    let points = wanted.compactMap { bytes in
      forms.compactMap { $0.point(within: bytes) }.min { $0.error < $1.error }
    }
    var fixed: [SizeErrorPlan.Point] = []
    if !output.isCoded, forms.count == 1 {
      for scheme in Schemes.all {
        guard let allocation = forms[0].budget.options.allocation(of: scheme) else { continue }
        fixed.append(forms[0].point(allocation, type: scheme.name))
      }
    }
    return SizeErrorPlan.Curve(
      smallest: Int((forms.map(\.least).min() ?? 0).rounded()),
      title: output.writer.title(for: output.profile)
        + (output.writer.settings.contains(.coding) && !output.isCoded ? " without coding" : "")
        + (forms.count > 1 ? ", blocks removed" : ""),
      layout: output.writer.name, program: output.profile.name, isCoded: output.isCoded,
      removesBlocks: forms.count > 1, points: points, types: fixed)
  }
}

/// A model, whole or without some blocks, whose layers can have many types.
private struct PlannedModelForm {
  let budget: Budget
  private let errors: GuidedErrors
  private let cut: RemovalCut?
  private let curve: AllocationCurve

  init(_ budget: Budget, _ errors: GuidedErrors, _ cut: RemovalCut? = nil) {
    self.budget = budget
    self.errors = errors
    self.cut = cut
    curve = budget.curve(errors)
  }

  /// Bytes of the smallest and of the largest output.
  var least: Double { budget.fixedBytes + curve.smallest.bytes }
  var most: Double { budget.fixedBytes + curve.largest.bytes }

  func point(_ allocation: Allocation, type: String?) -> SizeErrorPlan.Point {
    let rounding = errors.predicted(allocation) ?? 0
    let removal = cut?.error ?? 0
    return SizeErrorPlan.Point(
      type: type, bytes: Int((budget.fixedBytes + allocation.bytes).rounded()),
      bits: budget.bits(allocation),
      error: (rounding * rounding + removal * removal).squareRoot(),
      share: cut?.share)
  }

  /// The best choice of types; `nil` where no output is as small.
  func point(within bytes: Double) -> SizeErrorPlan.Point? {
    // The smallest output has exactly the smallest of the wanted bytes.
    curve.allocation(within: bytes * (1 + 1e-9) - budget.fixedBytes).map { point($0, type: nil) }
  }
}

extension [LayerOptions] {
  /// The allocation of one scheme to all layers that can have it; the others have the last option,
  /// which is that of weights that are not quantized. `nil` where no layer has the scheme.
  fileprivate func allocation(of scheme: any Scheme) -> Allocation? {
    var isFound = false
    let alone = map { layer in
      let same = layer.options.filter { $0.scheme.name == scheme.name }
      isFound = isFound || !same.isEmpty
      return LayerOptions(
        name: layer.name, weightCount: layer.weightCount,
        options: same.isEmpty ? layer.options.suffix(1) : same)
    }
    return isFound ? AllocationCurve(alone) { _ in 1 }.smallest : nil
  }
}

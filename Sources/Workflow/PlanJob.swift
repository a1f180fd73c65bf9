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
  private let chart: (path: String, replacing: Bool)?

  /// - Parameters:
  ///   - sizes: bytes of whole outputs; empty for sizes that are spread over all that can be reached.
  ///   - layout: the output. A program that reads several layouts has a curve for each; without a
  ///     program, both kinds of `.decant` files have one.
  ///   - chart: the SVG file to write; `nil` writes none.
  package init(
    model: String, reading: InputOptions, calibration: String, sizes: [Int],
    layout: LayoutRequest = LayoutRequest(), chart: (path: String, replacing: Bool)? = nil
  ) {
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
    guard let unet = bound[ComponentName.unet] else {
      throw JobError.noUNet(source.location)
    }
    let file = try CalibrationFile.readingCalls(calibration, of: unet)
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
      model: source.location,
      curves: budgets.map { curve($0.output, $0.budget, errors) }, chart: chart?.path)
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

  private func curve(
    _ output: BudgetOutput, _ budget: Budget, _ errors: GuidedErrors
  ) -> SizeErrorPlan.Curve {
    let curve = budget.curve(errors)
    func point(_ allocation: Allocation, type: String?) -> SizeErrorPlan.Point {
      SizeErrorPlan.Point(
        type: type, bytes: Int((budget.fixedBytes + allocation.bytes).rounded()),
        bits: budget.bits(allocation), error: errors.predicted(allocation) ?? 0)
    }
    let (least, most) = (curve.smallest.bytes, curve.largest.bytes)
    var wanted = sizes.map { Double($0) - budget.fixedBytes }
    if wanted.isEmpty {
      let count = 10
      wanted = (0..<count).map { least * pow(most / least, Double($0) / Double(count - 1)) }
    }
    let points = wanted.compactMap { bytes in
      // The smallest output has exactly the smallest of the wanted bytes.
      curve.allocation(within: bytes * (1 + 1e-9)).map { point($0, type: nil) }
    }
    var fixed: [SizeErrorPlan.Point] = []
    if !output.isCoded {
      for scheme in Schemes.all {
        guard let allocation = budget.options.allocation(of: scheme) else { continue }
        fixed.append(point(allocation, type: scheme.name))
      }
    }
    return SizeErrorPlan.Curve(
      smallest: Int((budget.fixedBytes + least).rounded()),
      title: output.writer.title(for: output.profile)
        + (output.writer.settings.contains(.coding) && !output.isCoded ? " without coding" : ""),
      layout: output.writer.name, program: output.profile.name, isCoded: output.isCoded,
      points: points, types: fixed)
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

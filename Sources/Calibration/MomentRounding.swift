internal import Execution
private import Kernels
internal import ModelSources
package import Models
package import Quantization
package import Sampling
internal import Support
internal import Tensors

/// Rounds layers with the second moments of their inputs, which recorded calls give.
///
/// The moments of all layers do not fit in memory (28 GB for SD 1), so layers are rounded group by
/// group: for each group the original U-Net runs all calls again, and the moments of the group's
/// layers are summed. Rounded layers go to a ``RoundingSpool``.
package struct MomentRounding: Sendable {
  private let sampler: Sampler
  private let calibration: CalibrationFile
  private let calls: [ReferenceCall]
  private let component: Model.Component
  private let plan: QuantizationPlan
  private let memory: Int
  private let spool: RoundingSpool

  /// - Parameters:
  ///   - sampler: the sampler of the original model.
  ///   - calibration: a calibration with recorded calls.
  ///   - component: the U-Net, with the original weights.
  ///   - memory: bytes that moments and their factors may take.
  package init(
    _ sampler: Sampler, _ calibration: CalibrationFile, _ component: Model.Component,
    plan: QuantizationPlan, memory: Int, spool: RoundingSpool
  ) {
    self.sampler = sampler
    self.calibration = calibration
    calls = Self.calls(of: calibration)
    self.component = component
    self.plan = plan
    self.memory = memory
    self.spool = spool
  }

  /// The calls that are evaluated: at most 32, spread over the runs and their steps.
  package static func calls(of calibration: CalibrationFile) -> [ReferenceCall] {
    spread(32, over: calibration.calls.count).sorted().map { calibration.calls[$0] }
  }

  /// A layer to round.
  private struct Layer {
    /// The index of its entry in the plan.
    let index: Int
    let entry: QuantizationPlan.Entry
    let module: ModuleSpec
  }

  /// Layers that share an input, and bytes of its moments.
  private struct Input {
    var layers: [Layer]
    let byteCount: Int
  }

  /// Bytes that the moments of one layer may take. The factor takes as many.
  private var memoryOfLayer: Int { memory / 3 }

  /// The layers that the plan rounds to integers and that are not in `done`, in groups whose moments
  /// fit.
  private func groups(without done: [String: RoundedLayers.Layer]) -> [[Input]] {
    let modules = Dictionary(uniqueKeysWithValues: component.modules.map { ($0.name, $0) })
    var inputs: [Input] = []
    var places: [String: Int] = [:]
    for (index, entry) in plan.entries.enumerated() {
      guard entry.scheme is any IntegerScheme, done[entry.tensor] == nil,
        let module = modules[entry.module], module.weight.name == entry.tensor
      else { continue }
      let layer = Layer(index: index, entry: entry, module: module)
      if let place = places[module.inputName] {
        inputs[place].layers.append(layer)
      } else {
        places[module.inputName] = inputs.count
        inputs.append(
          Input(
            layers: [layer],
            byteCount: LayerMoments.byteCount(of: module, memory: memoryOfLayer)))
      }
    }
    var groups: [[Input]] = []
    var bytes = 0
    for input in inputs {
      if groups.isEmpty || bytes + input.byteCount > memory - memoryOfLayer {
        groups.append([])
        bytes = 0
      }
      groups[groups.count - 1].append(input)
      bytes += input.byteCount
    }
    return groups
  }

  /// Rounds the layers that the spool does not hold yet.
  ///
  /// - Parameter progress: called with the units of work done and in total: calls of the U-Net and
  ///   layers.
  /// - Throws: `CancellationError`, or an error of the sampler, the weights or the spool. The spool
  ///   keeps the finished layers.
  package func run(
    progress: (_ done: Int, _ total: Int) -> Void
  ) throws -> RoundedLayers {
    var finished = spool.layers(of: plan)
    let groups = groups(without: finished)
    let layerCount = groups.joined().reduce(0) { $0 + $1.layers.count }
    let total = groups.count * calls.count + layerCount
    var done = 0
    func count() {
      done += 1
      progress(done, total)
    }
    let replay = try CallReplay(calls, calibration.settings, by: sampler)
    for group in groups {
      var moments = try moments(of: group, replay, progress: count)
      for input in group {
        let blocks = try moments.removeValue(forKey: input.layers[0].module.name).map(feedback)
        for layer in input.layers {
          let rounded = try round(layer, blocks ?? [])
          try spool.add(rounded, of: layer.entry, at: layer.index)
          count()
        }
      }
    }
    finished = spool.layers(of: plan)
    return RoundedLayers(finished)
  }

  private func moments(
    of group: [Input], _ replay: CallReplay, progress: () -> Void
  ) throws -> [String: LayerMoments] {
    let collector = MomentCollector(
      modules: group.map(\.layers[0].module), calls: calls.count, memory: memoryOfLayer)
    for index in calls.indices {
      let conditioning = replay.conditioning(of: index)
      collector.begin(
        call: index, branches: conditioning.unconditional == nil ? 1 : 2,
        guidanceScale: conditioning.guidanceScale)
      _ = try replay.predict(index, observer: collector)
      progress()
    }
    return collector.finish()
  }

  /// Factors the moments of a layer, with more damping where they are not positive definite. A block
  /// that stays so is left out, and its weights are rounded to nearest.
  private func feedback(_ moments: LayerMoments) throws -> [FeedbackBlock] {
    try moments.blocks.compactMap { inputs, sums in
      var damping = damping(rows: moments.rows, inputs: inputs.count)
      while damping < 10 {
        try Cancellation.check()
        let factor = try interruptible { sums.factored(damping: damping) }
        if let factor { return FeedbackBlock(inputs: inputs, factor: factor) }
        damping *= 10
      }
      return nil
    }
  }

  /// The damping relative to the mean of the diagonal: more where the moments are less certain
  /// (measured on a model with 5 million weights).
  private func damping(rows: Int, inputs: Int) -> Double {
    if rows < inputs { return 0.1 }
    return Set(calls.map(\.run)).count < 24 ? 0.01 : 0.003
  }

  private func round(_ layer: Layer, _ feedback: [FeedbackBlock]) throws -> RoundedLayers.Layer {
    let name = layer.entry.tensor
    let weights = try component.weights.tensor(name)
    let statistics = calibration.statistics[layer.module.name].flatMap {
      LayerStatistics($0, shape: weights.shape, feedback: feedback)
    }
    let method = plan.method.applied(with: statistics)
    let encoded = try interruptible {
      try layer.entry.encode(
        weights, method: method, statistics: statistics, location: component.weights.location)
    }
    return RoundedLayers.Layer(encoded: encoded, method: method.name)
  }
}

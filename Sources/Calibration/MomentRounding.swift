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
/// group, in the order in which the U-Net runs them: for each group the original U-Net continues all
/// calls where the group before ended, and the moments of the group's layers are summed. Rounded layers
/// go to a ``RoundingSpool``.
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

  /// The calls that are evaluated: at most 128, spread over the runs and their steps.
  package static func calls(of calibration: CalibrationFile) -> [ReferenceCall] {
    spread(128, over: calibration.calls.count).sorted().map { calibration.calls[$0] }
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
    /// The stage of the U-Net that runs the first of them; -1 before all stages.
    let stage: Int
    let byteCount: Int
  }

  /// Bytes that the moments of one layer may take. The factor takes as many.
  private var memoryOfLayer: Int { memory / 4 }
  /// Bytes that the states of all calls may take. Where they are more, each group begins its calls
  /// anew.
  private var memoryOfStates: Int { memory / 4 }

  /// The layers that the plan rounds to integers and that are not in `done`, in groups whose moments
  /// fit.
  private func groups(without done: [String: RoundedLayers.Layer]) -> [[Input]] {
    let modules = Dictionary(uniqueKeysWithValues: component.modules.map { ($0.name, $0) })
    let spec = UNetSpec(sampler.model.unet)
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
            layers: [layer], stage: UNetStage.index(of: module.name, in: spec) ?? -1,
            byteCount: LayerMoments.byteCount(of: module, memory: memoryOfLayer)))
      }
    }
    // In the order of the stages; the layers of a stage keep theirs.
    let ordered = inputs.enumerated().sorted {
      ($0.element.stage, $0.offset) < ($1.element.stage, $1.offset)
    }.map(\.element)
    var groups: [[Input]] = []
    var bytes = 0
    for input in ordered {
      if groups.isEmpty || bytes + input.byteCount > memory - memoryOfLayer - memoryOfStates {
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
    var states: [Int: UNetState] = [:]
    for (index, group) in groups.enumerated() {
      let next = groups.indices.contains(index + 1) ? groups[index + 1].first?.stage : nil
      var moments = try moments(
        of: group, replay, continuing: &states, next: next, progress: count)
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

  /// Sums the moments of a group.
  ///
  /// - Parameters:
  ///   - states: those of the calls where the group before ended, by the index of the call. Replaced by
  ///     those where this group ends, as far as they fit.
  ///   - next: the first stage of the next group; `nil` for the last one.
  private func moments(
    of group: [Input], _ replay: CallReplay, continuing states: inout [Int: UNetState], next: Int?,
    progress: () -> Void
  ) throws -> [String: LayerMoments] {
    let collector = MomentCollector(
      modules: group.map(\.layers[0].module), calls: calls.count, memory: memoryOfLayer)
    // The next group may begin in the stage in which this one ends.
    let end = (group.map(\.stage).max() ?? 0) + 1
    let last = UNetStage.stages(of: UNetSpec(sampler.model.unet)).count
    // What runs before all stages runs in every call, so that its layers would be summed twice.
    let beginsBefore = group.contains { $0.stage < 0 }
    let kept = next.flatMap { $0 < 0 || beginsBefore && $0 < end ? nil : min($0, last) }
    var bytes = 0
    for index in calls.indices {
      let conditioning = replay.conditioning(of: index)
      collector.begin(
        call: index, branches: conditioning.unconditional == nil ? 1 : 2,
        guidanceScale: conditioning.guidanceScale)
      let start = states.removeValue(forKey: index)
      if end > last {
        _ = try replay.predict(index, from: start, observer: collector)
      } else {
        var state = start
        if let kept, kept < end, kept > start?.stage ?? -1 {
          state = try replay.advance(index, from: state, to: kept, observer: collector)
        }
        let middle = state
        let ended = try replay.advance(index, from: state, to: end, observer: collector)
        if let kept, let carried = kept < end ? middle : ended {
          bytes += carried.byteCount
          if bytes <= memoryOfStates { states[index] = carried }
        }
      }
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

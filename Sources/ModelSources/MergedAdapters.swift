package import Support

extension ModelSource {
  /// The member of ``provenance`` that lists what jobs did to the model, in order.
  package static let stepsFact = "steps"
  /// The name of a step that merged an adapter into the weights.
  package static let mergeStep = "merge"

  /// The steps of the provenance that merged adapters: now, or in an earlier job.
  package var mergeSteps: [JSONValue] {
    (provenance[Self.stepsFact]?.array ?? []).filter {
      $0.object?["step"] == .string(Self.mergeStep)
    }
  }

  /// The files of the adapters that were merged into the weights, with their scales, in order.
  package var mergedAdapters: [(file: String, scale: Double)] {
    mergeSteps.compactMap { step in
      guard let file = step.object?["adapter"]?.string else { return nil }
      return (file, step.object?["scale"]?.number ?? 1)
    }
  }
}

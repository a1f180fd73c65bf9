private import Checkpoints
internal import ModelSources
internal import Models
internal import Support

/// The memory that each program needs to make one image with a model as it is stored.
struct MemoryTable {
  struct Row {
    let profile: any OutputProfile
    /// One for each of ``MemoryTable/sizes``.
    let estimates: [MemoryEstimate]
  }

  static let sizes = [512, 1024].map { ImageSize(width: $0, height: $0) }

  let rows: [Row]

  /// - Parameter model: a model with a U-Net; other components may be missing.
  init(_ model: ModelSource) throws(ConfigError) {
    var rows: [Row] = []
    for profile in Layouts.writers.flatMap(\.profiles)
    where profile.refusal(model) == nil && profile.firstUnread(in: model) == nil {
      var estimates: [MemoryEstimate] = []
      for size in Self.sizes {
        estimates.append(try MemoryEstimate(model, in: profile.memory, size: size))
      }
      // A program may read several layouts.
      let isKnown = rows.contains { $0.profile.name == profile.name && $0.estimates == estimates }
      if !isKnown { rows.append(Row(profile: profile, estimates: estimates)) }
    }
    self.rows = rows
  }

  var json: JSONValue {
    .array(
      rows.map { row in
        [
          "program": .string(row.profile.name), "title": .string(row.profile.title),
          "layout": .string(row.profile.container),
          "unloads_components": .bool(row.profile.memory.residency == .oneAfterAnother),
          "sizes": .array(
            zip(Self.sizes, row.estimates).map { size, estimate in
              .object(size.members.appending(estimate.members))
            }),
        ]
      })
  }

  /// The second column says whether all components are in memory at once.
  var text: String {
    let heading =
      ["program", "in memory"] + Self.sizes.map(\.description)
      + (Self.sizes.last.map { ["peak at \($0)"] } ?? [])
    let lines = rows.map { row in
      [
        row.profile.title,
        row.profile.memory.residency == .allComponents ? "all" : "in turn",
      ] + row.estimates.map { formatted(bytes: $0.peak?.total ?? 0) }
        + [row.estimates.last?.peak?.name.rawValue ?? ""]
    }
    // The sizes follow the first two columns.
    let numbers = Self.sizes.indices.map { $0 + 2 }
    return table([heading] + lines, rightAligned: Set(numbers), width: 80)
  }
}

extension ImageSize {
  var members: JSONObject { ["width": .integer(width), "height": .integer(height)] }
}

extension MemoryEstimate {
  /// The peak, and what each phase consists of.
  var members: JSONObject {
    [
      "bytes": .integer(peak?.total ?? 0),
      "phase": peak.map { .string($0.name.rawValue) } ?? .null,
      "phases": .array(
        phases.map { phase in
          [
            "name": .string(phase.name.rawValue), "weights": .integer(phase.weights),
            "widened_layer": .integer(phase.widenedLayer),
            "activations": .integer(phase.activations),
          ]
        }),
    ]
  }
}

/// The memory that the program of an output needs to make one image with the model that was
/// written.
package struct OutputMemory: Sendable {
  private let program: String
  private let size: ImageSize
  private let estimate: MemoryEstimate

  /// - Parameters:
  ///   - model: the model as it was written. Components that the output does not hold come from
  ///     `source`.
  ///   - profile: the program that reads the output.
  /// - Returns: `nil` for a part of a model.
  init?(of model: ModelSource, in profile: any OutputProfile, besides source: ModelSource) {
    guard let whole = try? Model.bind(profile.widened(model).completed(by: source) { _ in }),
      let estimate = try? MemoryEstimate(
        whole.source, in: profile.memory, size: whole.defaultSize)
    else { return nil }
    program = profile.title
    size = whole.defaultSize
    self.estimate = estimate
  }

  var json: JSONValue {
    .object(
      (["program": .string(program)] as JSONObject).appending(size.members)
        .appending(estimate.members))
  }

  var text: String {
    guard let peak = estimate.peak else { return "" }
    return "memory to make one image of \(size): about \(formatted(bytes: peak.total)) in "
      + "\(program), peak: \(peak.name.rawValue)"
  }
}

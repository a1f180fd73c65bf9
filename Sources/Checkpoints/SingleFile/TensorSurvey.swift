private import Formats
package import ModelSources
internal import Support
package import Tensors

/// What a file of tensors holds, whether or not a model can be made of it: for who must say why not.
package struct TensorSurvey: Sendable, Equatable {
  /// Tensors whose names begin alike.
  package struct Group: Sendable, Equatable {
    package let prefix: String
    package let tensors: Int
  }

  /// A tensor whose shape tells something.
  package struct Mark: Sendable, Equatable {
    package let tensor: String
    package let shape: Shape
  }

  package let tensors: Int
  package let parameters: Int
  /// The largest first.
  package let groups: [Group]
  package let marks: [Mark]
  /// What the file is, where it is something that is known and not read: a name, and what that is.
  package let likeness: String?
  /// `nil` where no names of a U-Net are found.
  package let unet: UNetSignature?

  package init(_ weights: any WeightSource) {
    let names = weights.names
    tensors = names.count
    parameters = weights.parameterCount
    var counts: [String: Int] = [:]
    for name in names { counts[Self.group(name), default: 0] += 1 }
    groups = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      .map { Group(prefix: $0.key, tensors: $0.value) }
    marks = ForeignModels.telling.compactMap { ending in
      names.first { $0 == ending || $0.hasSuffix("." + ending) }
        .flatMap { name in weights.entry(name).map { Mark(tensor: name, shape: $0.shape) } }
    }
    likeness = ForeignModels.all.first { kind in
      kind.marks.allSatisfy { mark in names.contains { $0.contains(mark) } }
    }.map { "\($0.name), \($0.nature)" }
    unet = UNetSignature(weights)
  }

  /// What stands before the second dot of a name, or the first: `model.diffusion_model.` and
  /// `double_blocks.`, without numbers.
  private static func group(_ name: String) -> String {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count > 1 else { return shown(name, limit: 40) }
    let count = SingleFileKeys.wraps.contains(String(parts[0])) && parts.count > 2 ? 2 : 1
    return shown(
      parts.prefix(count).map { Int($0) == nil ? String($0) : "N" }.joined(separator: "."),
      limit: 60) + "."
  }

  /// The largest groups, for a sentence: `780 tensors (double_blocks. 456 and single_blocks. 304)`.
  package var contents: String {
    counted(tensors, "tensor") + " ("
      + listed(
        groups.prefix(6).map { "\($0.prefix) \($0.tensors)" }
          + (groups.count > 6 ? ["\(groups.count - 6) other kinds"] : [])) + ")"
  }
}

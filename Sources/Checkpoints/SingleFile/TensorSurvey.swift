private import Formats
package import ModelSources
internal import Support
package import Tensors

/// A summary of the tensors in a file, for messages about files that are not models.
package struct TensorSurvey: Sendable, Equatable {
  /// The number of tensors whose names have a prefix in common.
  package struct Group: Sendable, Equatable {
    package let prefix: String
    package let tensors: Int
  }

  /// A tensor whose shape is characteristic of a model.
  package struct Mark: Sendable, Equatable {
    package let tensor: String
    package let shape: Shape
  }

  package let tensors: Int
  package let parameters: Int
  /// The largest first.
  package let groups: [Group]
  package let marks: [Mark]
  /// The kind of file, if it is a known kind that Decant does not read.
  package let foreignKind: ForeignKind?
  /// `nil` where no U-Net is found.
  package let unet: UNetSignature?

  package init(_ weights: any WeightSource) {
    let names = weights.names
    tensors = names.count
    parameters = weights.parameterCount
    var counts: [String: Int] = [:]
    for name in names { counts[Self.group(name), default: 0] += 1 }
    groups = counts.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
      .map { Group(prefix: $0.key, tensors: $0.value) }
    marks = ForeignModels.characteristic.compactMap { ending in
      names.first { $0 == ending || $0.hasSuffix("." + ending) }
        .flatMap { name in weights.entry(name).map { Mark(tensor: name, shape: $0.shape) } }
    }
    foreignKind = ForeignKind(weights)
    unet = UNetSignature(weights)
  }

  /// The prefix of a name up to its first or second dot, with numbers replaced by `N`:
  /// `model.diffusion_model.`, `double_blocks.`.
  private static func group(_ name: String) -> String {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count > 1 else { return shown(name, limit: 40) }
    let count = SingleFileKeys.wrappers.contains(String(parts[0])) && parts.count > 2 ? 2 : 1
    return shown(
      parts.prefix(count).map { Int($0) == nil ? String($0) : "N" }.joined(separator: "."),
      limit: 60) + "."
  }

  /// The largest groups, as a phrase: `780 tensors (double_blocks. 456 and single_blocks. 304)`.
  package var contents: String {
    counted(tensors, "tensor") + " ("
      + listed(
        groups.prefix(6).map { "\($0.prefix) \($0.tensors)" }
          + (groups.count > 6 ? ["\(groups.count - 6) other kinds"] : [])) + ")"
  }
}

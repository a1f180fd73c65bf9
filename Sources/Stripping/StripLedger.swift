package import Support

/// A record of stripping a U-Net: removed, renamed and zeroed parameters, and changed fields of the
/// config.
///
/// The parameters of the teacher equal those of the student plus those of ``removed``.
package struct StripLedger: Hashable, Sendable {
  /// A removed block of the teacher.
  package struct Removed: Hashable, Sendable {
    package let block: String
    /// Why it was removed: `requested`, or the block that it depends on.
    package let cause: String
    package let tensors: Int
    package let parameters: Int
  }

  /// A block that is kept under another number.
  package struct Renamed: Hashable, Sendable {
    package let student: String
    package let teacher: String
  }

  /// A tensor that is kept, filled with zeros.
  package struct Zeroed: Hashable, Sendable {
    package let tensor: String
    package let parameters: Int
  }

  /// A changed field of the config; `nil` means that the field is absent.
  package struct Change: Hashable, Sendable {
    package let field: String
    package let before: JSONValue?
    package let after: JSONValue?
  }

  /// Tensors and parameters of a U-Net.
  package struct Count: Hashable, Sendable {
    package let tensors: Int
    package let parameters: Int
  }

  package let recipe: String?
  /// The requested drops, before `*` and mirrored blocks are expanded.
  package let drops: [String]
  package let teacher: Count
  package let student: Count
  package let removed: [Removed]
  package let renamed: [Renamed]
  package let zeroed: [Zeroed]
  package let changes: [Change]
  /// Blocks that were removed in addition, because a diffusers config cannot describe the U-Net
  /// with them.
  package let mirrored: [String]

  /// Parameters of all removed blocks together.
  package var removedParameters: Int { removed.reduce(0) { $0 + $1.parameters } }

  package var json: JSONObject {
    func count(_ count: Count) -> JSONValue {
      ["tensors": .integer(count.tensors), "parameters": .integer(count.parameters)]
    }
    return [
      "recipe": recipe.map { .string($0) } ?? .null,
      "drops": .strings(drops),
      "mirrored": .strings(mirrored),
      "teacher": count(teacher),
      "student": count(student),
      "removed": .array(
        removed.map {
          [
            "block": .string($0.block), "cause": .string($0.cause),
            "tensors": .integer($0.tensors), "parameters": .integer($0.parameters),
          ]
        }),
      "renamed": .array(
        renamed.map { ["student": .string($0.student), "teacher": .string($0.teacher)] }),
      "zeroed": .array(
        zeroed.map { ["tensor": .string($0.tensor), "parameters": .integer($0.parameters)] }),
      "config": .array(
        changes.map { change in
          // An absent field has no member, which distinguishes it from null.
          var member: JSONObject = ["field": .string(change.field)]
          member["before"] = change.before
          member["after"] = change.after
          return .object(member)
        }),
    ]
  }
}

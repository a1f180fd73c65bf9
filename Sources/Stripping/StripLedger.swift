package import Support

/// What stripping did to a U-Net: every parameter that went, stayed under another name, or was
/// zeroed, and every field of the config that changed.
///
/// The counts close: the teacher's parameters are the student's and those of ``removed``.
package struct StripLedger: Hashable, Sendable {
  /// A block of the teacher that is gone.
  package struct Removed: Hashable, Sendable {
    package let block: String
    /// `asked for`, or what it goes with.
    package let cause: String
    package let tensors: Int
    package let parameters: Int
  }

  /// A block that stayed under another number.
  package struct Renamed: Hashable, Sendable {
    package let student: String
    package let teacher: String
  }

  /// A tensor that stayed, filled with zeros.
  package struct Zeroed: Hashable, Sendable {
    package let tensor: String
    package let parameters: Int
  }

  /// A field of the config; `nil` is absent.
  package struct Change: Hashable, Sendable {
    package let field: String
    package let before: JSONValue?
    package let after: JSONValue?
  }

  package struct Count: Hashable, Sendable {
    package let tensors: Int
    package let parameters: Int
  }

  package let recipe: String?
  /// The drops as they were asked for, before `*` and mirrors.
  package let drops: [String]
  package let teacher: Count
  package let student: Count
  package let removed: [Removed]
  package let renamed: [Renamed]
  package let zeroed: [Zeroed]
  package let changes: [Change]
  /// Blocks that were not asked for, but that had to go for a config to say what is left.
  package let mirrored: [String]

  /// Parameters of all removed blocks together.
  package var removedParameters: Int { removed.reduce(0) { $0 + $1.parameters } }

  package var json: JSONObject {
    func count(_ count: Count) -> JSONValue {
      ["tensors": .integer(count.tensors), "parameters": .integer(count.parameters)]
    }
    return [
      "recipe": recipe.map { .string($0) } ?? .null,
      "drops": .array(drops.map { .string($0) }),
      "mirrored": .array(mirrored.map { .string($0) }),
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
          // An absent field has no member here either, so that absent and null stay apart.
          var member: JSONObject = ["field": .string(change.field)]
          member["before"] = change.before
          member["after"] = change.after
          return .object(member)
        }),
    ]
  }
}

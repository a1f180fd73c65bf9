package import Support

/// One difference between a model as it is stored and as it was read or put together: what was left
/// out, changed, added or assumed.
///
/// Readers and transforms append changes to ``ModelSource/changes``; the commands that write a model
/// list them.
package struct ModelChange: Sendable, Equatable {
  package enum Kind: String, Sendable, CaseIterable {
    /// Something in the input is not in the model.
    case leftOut = "left_out"
    /// Something in the model differs from the input.
    case changed
    /// Something in the model was not in the input.
    case added
    /// The input does not determine a fact, and this value was taken.
    case assumed
    /// Something that an option asks to change is in the model as it is in the input.
    case kept
  }

  package let kind: Kind
  /// The component that the change concerns: `unet`; `nil` for the whole model.
  package let component: String?
  /// What was left out, changed, added or assumed, and why, without a full stop: `2 tensors that no
  /// component uses`.
  package let summary: String
  /// The names of the tensors or files concerned, as they are in the input; may be empty.
  package let names: [String]
  /// Whether the user asks for the change, by an option that replaces a component, for example.
  package let isRequested: Bool
  /// What a user can do about the change; `nil` where nothing is needed.
  package let remedy: Remedy?

  /// The number of names that are listed.
  private static let listedNames = 20

  package init(
    _ kind: Kind, component: String? = nil, _ summary: String, names: [String] = [],
    isRequested: Bool = false, remedy: Remedy? = nil
  ) {
    self.kind = kind
    self.component = component
    self.summary = summary
    self.names = names
    self.isRequested = isRequested
    self.remedy = remedy
  }

  /// Whether a user who wants to lose nothing must know of the change before anything is written:
  /// the user did not ask for it, and it leaves out, changes or assumes something. Additions that a
  /// layout needs lose nothing.
  package var isUnexpected: Bool {
    switch kind {
    case .leftOut, .changed, .assumed: !isRequested
    case .added, .kept: false
    }
  }

  /// The same change of another component.
  package func of(_ component: String) -> ModelChange {
    ModelChange(
      kind, component: component, summary, names: names, isRequested: isRequested, remedy: remedy)
  }

  /// One line: `left out: unet: 2 tensors that no component uses: 'a', 'b'`.
  package var text: String {
    let words = kind.rawValue.replacing("_", with: " ")
    let place = component.map { "\($0): " } ?? ""
    let few = names.prefix(3).map { "'\(shown($0))'" }
    let more = names.count - few.count
    let list = few.isEmpty ? "" : ": " + few.joined(separator: ", ")
    return "\(words): \(place)\(summary)\(list)" + (more > 0 ? " and \(more) more" : "")
  }

  package var json: JSONValue {
    var object: JSONObject = ["kind": .string(kind.rawValue)]
    if let component { object["component"] = .string(component) }
    object["summary"] = .string(summary)
    object["requested"] = .bool(isRequested)
    if let remedy { object["remedy"] = remedy.json }
    if !names.isEmpty {
      object["count"] = .integer(names.count)
      object["names"] = .strings(names.prefix(Self.listedNames).map { shown($0) })
    }
    return .object(object)
  }
}

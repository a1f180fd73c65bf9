package import Support
private import Tensors

/// The plans of a model's components whose layers are quantized, one for each component.
package struct ModelPlan: Sendable {
  /// The plan of one component.
  package struct Part: Sendable {
    /// `unet`, `text_encoder`.
    package let component: String
    package let plan: QuantizationPlan

    package init(component: String, plan: QuantizationPlan) {
      self.component = component
      self.plan = plan
    }
  }

  package let parts: [Part]

  package init(_ parts: [Part]) { self.parts = parts }

  /// The plan of a component; `nil` for a component that is stored as it is or as plain numbers.
  package subscript(component: String) -> QuantizationPlan? {
    parts.first { $0.component == component }?.plan
  }

  /// Every tensor with its component, scheme and reason, as JSON.
  package var json: JSONValue {
    .array(parts.flatMap { ($0.plan.json.array ?? []).naming($0.component) })
  }
}

extension QuantizationPlan {
  /// Whether any tensor is quantized.
  package var quantizes: Bool { entries.contains(where: \.scheme.encoding.isQuantized) }
}

extension [JSONValue] {
  /// The objects with the component that they belong to, as their first member.
  package func naming(_ component: String) -> [JSONValue] {
    map { value in
      var object: JSONObject = ["component": .string(component)]
      for (name, member) in value.object?.members ?? [] { object[name] = member }
      return .object(object)
    }
  }
}

package import ModelSources
private import Support
internal import Tensors

extension QuantizationPlan {
  /// The plan with every tensor in an encoding that an output's program reads: its own, the
  /// nearest, a substitute, or `rest` for tensors that the program does not read quantized.
  ///
  /// - Parameters:
  ///   - layout: the output's layout, for messages.
  ///   - component: the component of the plan: `unet`.
  ///   - reason: the reason of tensors that are stored as `rest` instead of quantized.
  /// - Throws: ``PlanFitError`` where the program reads nothing near an encoding.
  package func fitting(
    _ profile: any OutputProfile, layout: String, component: String, rest: any Scheme,
    reason: String
  ) throws(PlanFitError) -> QuantizationPlan {
    var fitted: [Entry] = []
    var findings = findings
    for entry in entries {
      guard entry.scheme.encoding.isQuantized else {
        fitted.append(entry)
        continue
      }
      guard let encoding = profile.accepted(entry.scheme.encoding),
        let scheme = Schemes.named(encoding.name)
      else {
        throw PlanFitError(scheme: entry.scheme.name, layout: layout)
      }
      let stored = TensorEntry(shape: entry.shape, encoding: encoding)
      func append(_ scheme: any Scheme, _ reason: String) {
        fitted.append(
          Entry(
            tensor: entry.tensor, module: entry.module, shape: entry.shape, scheme: scheme,
            reason: reason, pattern: entry.pattern))
      }
      if profile.holds(stored, of: entry.tensor, in: component) {
        // An equal encoding keeps its step.
        append(encoding == entry.scheme.encoding ? entry.scheme : scheme, entry.reason)
      } else if let other = profile.substitute(for: stored, of: entry.tensor, in: component),
        let substitute = Schemes.named(other.name)
      {
        append(
          substitute, "\(entry.reason); \(profile.title) does not read it as \(scheme.name)")
      } else if let pattern = entry.pattern {
        append(rest, "\(entry.reason), but \(reason)")
        findings.append(
          "'\(shown(entry.tensor))' becomes \(rest.name), although pattern '\(shown(pattern.text))' "
            + "assigns \(entry.scheme.name): \(reason)")
      } else {
        append(rest, reason)
      }
    }
    return QuantizationPlan(
      entries: fitted.map { $0.stored(by: profile) }, method: method, findings: findings)
  }
}

extension QuantizationPlan.Entry {
  /// The entry with the number type in which a program stores a tensor that is not quantized.
  fileprivate func stored(by profile: any OutputProfile) -> Self {
    let entry = TensorEntry(shape: shape, encoding: scheme.encoding)
    let stored = profile.stored(entry)
    if scheme.encoding.isQuantized || stored == entry || stored == self.stored { return self }
    return Self(
      tensor: tensor, module: module, shape: shape, scheme: scheme,
      reason: "\(reason); \(profile.title) reads it as \(stored.encoding.name)", pattern: pattern,
      stored: stored)
  }
}

/// A scheme without an equal or near encoding in an output.
package struct PlanFitError: Error, Equatable, CustomStringConvertible {
  package let scheme: String
  package let layout: String
  /// The component that the output cannot hold in the scheme, where it can hold others.
  package let component: String?
  /// The first tensor in the scheme, where a model has it already.
  package let tensor: String?

  package init(scheme: String, layout: String, component: String? = nil) {
    self.scheme = scheme
    self.layout = layout
    self.component = component
    tensor = nil
  }

  package init(_ unread: UnreadTensor, layout: String) {
    scheme = unread.encoding.name
    self.layout = layout
    component = unread.component
    tensor = unread.tensor
  }

  package var description: String {
    "a \(layout) cannot hold \(scheme) weights"
      + (tensor.map { ", such as tensor '\(shown($0))'" } ?? "")
      + (component.map { " of component '\($0)'" } ?? "")
  }
}

package import ModelSources
internal import Tensors

extension QuantizationPlan {
  /// The plan with every tensor in an encoding that a layout has: its own, the nearest, or, for
  /// tensors that the layout cannot quantize, `rest`.
  ///
  /// - Parameters:
  ///   - component: the component that the plan is for: `unet`.
  ///   - reason: why a tensor is in `rest` that was to be quantized.
  /// - Throws: ``PlanFitError`` when the layout has nothing near an encoding.
  package func fitting(
    _ writer: any ModelWriter, options: WriteOptions, component: String, rest: any Scheme,
    reason: String
  ) throws(PlanFitError) -> QuantizationPlan {
    var fitted: [Entry] = []
    for entry in entries {
      guard entry.scheme.encoding.isQuantized else {
        fitted.append(entry)
        continue
      }
      guard let encoding = writer.accepted(entry.scheme.encoding, options: options),
        let scheme = Schemes.named(encoding.name)
      else {
        throw PlanFitError(scheme: entry.scheme.name, layout: writer.layout)
      }
      let stored = TensorEntry(shape: entry.shape, encoding: encoding)
      let isHeld = writer.holds(stored, of: entry.tensor, in: component, options: options)
      fitted.append(
        Entry(
          tensor: entry.tensor, module: entry.module, shape: entry.shape,
          scheme: isHeld ? scheme : rest, reason: isHeld ? entry.reason : reason))
    }
    return QuantizationPlan(entries: fitted, method: method)
  }
}

/// A scheme that a layout has nothing near to.
package struct PlanFitError: Error, Equatable, CustomStringConvertible {
  package let scheme: String
  package let layout: String

  package var description: String { "a \(layout) cannot hold \(scheme) weights" }
}

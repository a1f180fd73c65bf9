private import Checkpoints
internal import ModelSources
internal import Models
private import Quantization
package import Support
private import Tensors

/// The forms in which a model can be written for programs that use a GPU, each with its size and
/// the memory that its program needs to make one image.
package struct ModelForms: Sendable {
  /// One type in one program's layout.
  package struct Form: Sendable {
    /// The name of the program's output profile.
    package let program: String
    package let title: String
    /// Whether the program is the default of its layout.
    package let isDefault: Bool
    /// A name for the output, from which its layout follows.
    package let output: String
    /// `nil` for the types as they are stored.
    package let type: String?
    /// Whether weights have to be quantized for this form.
    package let isQuantized: Bool
    /// Bytes of the weights in the file.
    package let bytes: Int
    /// Bytes that the program needs.
    package let memory: Int
    package let fits: Bool
  }

  package let model: String
  /// The bytes of video memory that must suffice.
  package let budget: Int
  /// The size of the image: the model's own.
  package let size: ImageSize
  package let forms: [Form]

  /// - Parameter model: a complete model.
  init(_ model: Model, budget: Int) throws {
    let stored = model.source
    let size = model.defaultSize
    var forms: [Form] = []
    // Types of equal width, and profiles of one layout that write the same file.
    var known: Set<[String]> = []
    for writer in Layouts.writers {
      for profile in writer.profiles where profile.usesGPU && profile.refusal(stored) == nil {
        for (type, source) in try Self.variants(of: model, for: profile) {
          let bytes = profile.storedBytes(of: source)
          // A form that is larger than the model itself is not listed.
          guard bytes <= stored.components.reduce(0, { $0 + $1.weights.byteCount }) else {
            continue
          }
          let estimate = try MemoryEstimate(source, in: profile.memory, size: size)
          let memory = estimate.peak?.total ?? 0
          guard known.insert([writer.name, "\(bytes)", "\(memory)"]).inserted else { continue }
          let isDefault = writer.profiles.first?.name == profile.name
          forms.append(
            Form(
              program: profile.name, title: profile.title, isDefault: isDefault,
              output: Self.outputName(
                stored.location, type: type, program: isDefault ? nil : profile.name, by: writer),
              type: type,
              isQuantized: type.flatMap(Schemes.named)?.encoding.isQuantized == true,
              bytes: bytes, memory: memory, fits: memory <= budget))
        }
      }
    }
    self.model = stored.location
    self.budget = budget
    self.size = size
    self.forms = forms
  }

  /// Bytes of all weights with the U-Net in int8 and the rest in float16, as the job plans it; `nil`
  /// where the model is quantized already. Reads no weights.
  static func int8Bytes(of model: Model) -> Int? {
    if model.components.contains(where: \.weights.hasQuantizedTensors) { return nil }
    let request = QuantizationRequest(type: Schemes.int8.name)
    let quantized = try? QuantizedModel(model, request) { plan, _, _ in plan }
    return quantized?.model.components.reduce(0) { $0 + $1.weights.byteCount }
  }

  /// The model in each type that the program reads. Weights are encoded only if they are read.
  private static func variants(
    of model: Model, for profile: any OutputProfile
  ) throws -> [(type: String?, source: ModelSource)] {
    var variants: [(type: String?, source: ModelSource)] = []
    let isQuantized = model.components.contains(where: \.weights.hasQuantizedTensors)
    if isQuantized, profile.firstUnread(in: model.source) == nil {
      variants.append((nil, model.source))
    }
    for scheme in Schemes.all where !(isQuantized && scheme.encoding.isQuantized) {
      var request = QuantizationRequest(type: scheme.name)
      if !scheme.encoding.isQuantized { request.restType = scheme.name }
      do {
        let quantized = try QuantizedModel(model, request) {
          try $0.fitting(
            profile, layout: profile.container, component: $1, rest: $2, reason: "")
        }
        variants.append((scheme.name, quantized.model))
      } catch is PlanFitError {
        continue
      }
    }
    return variants
  }

  /// A name that differs from the input's and from those of other forms: `sd15-int8.gguf`,
  /// `sd15-int8-comfyui.gguf`.
  ///
  /// - Parameter program: `nil` for the default of the layout.
  private static func outputName(
    _ input: String, type: String?, program: String?, by writer: any ModelWriter
  ) -> String {
    let words = [PathParts(input).stemAndExtension.stem, type ?? "copy", program]
    return writer.outputName(stem: words.compactMap { $0 }.joined(separator: "-"))
  }

  var json: JSONValue {
    let size = size.members.appending(["budget": .integer(budget)])
    return .object(
      size.appending([
        "rows": .array(
          forms.map { form in
            [
              "program": .string(form.program), "title": .string(form.title),
              "output": .string(form.output), "type": form.type.map { .string($0) } ?? .null,
              "bytes": .integer(form.bytes), "memory": .integer(form.memory),
              "fits": .bool(form.fits),
            ]
          })
      ]))
  }
}

private import Checkpoints
internal import ModelSources
internal import Models
internal import Quantization
package import Support
private import Tensors

/// The forms in which a model can be written for programs that use a GPU, each with its size and
/// the memory that its program needs to make one image.
package struct ModelForms: Sendable {
  /// Types in one program's layout.
  package struct Form: Sendable {
    /// The name of the program's output profile.
    package let program: String
    package let title: String
    /// The name of the layout.
    package let layout: String
    /// Whether the program is the default of its layout.
    package let isDefault: Bool
    /// A name for the output, from which its layout follows.
    package let output: String
    /// The type of the U-Net's weights; `nil` for all types as they are stored.
    package let type: String?
    /// The type of the text encoders' linear layers; `nil` where no type is requested for them.
    package let textEncoderType: String?
    /// Whether weights have to be quantized for this form.
    package let isQuantized: Bool
    /// Whether the file holds the U-Net and no other component.
    package let isUNetAlone: Bool
    /// The type of the convolutions, where the form saves little because none is quantized; `nil`
    /// elsewhere.
    package let plainConvolutionType: String?
    /// Bytes of the weights in the file.
    package let bytes: Int
    /// Bytes of the file's weights and of the components that the program loads from other files.
    fileprivate let wholeBytes: Int
    /// Bytes that the program needs.
    package let memory: Int
    package let fits: Bool
    /// The place of the types in the order of preference.
    fileprivate let rank: Int
    /// What lowers the peak in the program; ``memory`` is without it.
    fileprivate let memorySwitches: MemorySwitches?

    /// The program's options that lower the peak, without hyphens before the names.
    package var memoryOptions: [String] {
      if case .options(let names) = memorySwitches { names } else { [] }
    }

    /// The functions of the program's pipeline that lower the peak.
    package var memoryFunctions: [String] {
      if case .functions(let names) = memorySwitches { names } else { [] }
    }
  }

  /// A program that cannot load the model.
  package struct Refusal: Sendable {
    package let program: String
    package let title: String
    /// The name of the layout.
    package let layout: String
    /// As the object of "cannot load".
    package let reason: String
  }

  package let model: String
  /// The bytes of video memory that must suffice.
  package let budget: Int
  /// The size of the image: the model's own.
  package let size: ImageSize
  /// Those that fit, then the others; in each half by program, and for each program in the order of
  /// preference, which is that of rounding errors.
  package let forms: [Form]
  /// The programs without forms, each with what it cannot load.
  package let refusals: [Refusal]

  /// - Parameter model: a complete model.
  init(_ model: Model, budget: Int) throws {
    var forms: [Form] = []
    var refusals: [Refusal] = []
    for writer in Layouts.writers {
      for profile in writer.profiles where profile.usesGPU {
        if let reason = profile.refusal(model.source) {
          refusals.append(
            Refusal(
              program: profile.name, title: profile.title, layout: writer.name, reason: reason))
          continue
        }
        let maker = FormMaker(model: model, profile: profile, writer: writer, budget: budget)
        for (rank, type) in FormMaker.types.enumerated() {
          guard let form = try maker.form(type, rank: 2 * rank), form.isUseful(besides: forms)
          else { continue }
          forms.append(form)
          guard let smaller = try maker.formWithQuantizedText(form, type, rank: 2 * rank + 1),
            smaller.isUseful(besides: forms)
          else { continue }
          forms.append(smaller)
        }
      }
    }
    self.model = model.source.location
    self.budget = budget
    self.size = model.defaultSize
    self.forms = forms.filter(\.fits) + forms.filter { !$0.fits }
    self.refusals = refusals
  }

  /// Bytes of all weights with the U-Net in int8 and the rest in float16, as the job plans it; `nil`
  /// where the model is quantized already. Reads no weights.
  static func int8Bytes(of model: Model) -> Int? {
    if model.components.contains(where: \.weights.hasQuantizedTensors) { return nil }
    let request = QuantizationRequest(type: Schemes.int8.name)
    let quantized = try? QuantizedModel(model, request) { plan, _, _ in plan }
    return quantized?.model.components.reduce(0) { $0 + $1.weights.byteCount }
  }

  var json: JSONValue {
    let size = size.members.appending(["budget": .integer(budget)])
    return .object(
      size.appending([
        "rows": .array(
          forms.map { form in
            [
              "program": .string(form.program), "title": .string(form.title),
              "layout": .string(form.layout), "output": .string(form.output),
              "type": form.type.map { .string($0) } ?? .null,
              "text_encoder_type": form.textEncoderType.map { .string($0) } ?? .null,
              "unet_alone": .bool(form.isUNetAlone),
              "plain_convolutions": form.plainConvolutionType.map { .string($0) } ?? .null,
              "bytes": .integer(form.bytes), "memory": .integer(form.memory),
              "memory_options": .strings(form.memoryOptions),
              "memory_functions": .strings(form.memoryFunctions), "fits": .bool(form.fits),
            ]
          }),
        "refused": .array(
          refusals.map { refusal in
            [
              "program": .string(refusal.program), "title": .string(refusal.title),
              "layout": .string(refusal.layout), "reason": .string(refusal.reason),
            ]
          }),
      ]))
  }
}

extension ModelForms.Form {
  /// Whether the form differs from those that are preferred to it.
  ///
  /// It does not where it is the file of another program of the layout, or where it saves less than
  /// 3 % of the size and of the memory of a preferred form, and both fit or neither does.
  fileprivate func isUseful(besides others: [Self]) -> Bool {
    !others.contains { other in
      let isSameFile =
        other.layout == layout && other.bytes == bytes && other.memory == memory
      let savesLittle =
        100 * wholeBytes >= 97 * other.wholeBytes && 100 * memory >= 97 * other.memory
      return isSameFile
        || other.program == program && other.rank <= rank && savesLittle && other.fits == fits
    }
  }
}

/// Makes the forms of a model for one program.
private struct FormMaker {
  let model: Model
  let profile: any OutputProfile
  let writer: any ModelWriter
  let budget: Int

  /// `nil`, the types as they are stored, then those of the widest codes, which have the smallest
  /// rounding errors. Of equal width, those whose scales have scales come first, which have smaller
  /// errors, then those that most programs know.
  static let types: [(any Scheme)?] = {
    let widths = Set(Schemes.all.map(\.bits)).sorted(by: >)
    return [nil]
      + widths.flatMap { width in
        let schemes = Schemes.all.filter { $0.bits == width }
        return schemes.filter(\.hasScaledScales) + schemes.filter { !$0.hasScaledScales }
      }
  }()

  /// Reads no weights.
  ///
  /// - Returns: `nil` where the program does not read the type, where the model has wider numbers
  ///   only, and where the form is larger than the model itself.
  func form(_ type: (any Scheme)?, text: (any Scheme)? = nil, rank: Int) throws -> ModelForms.Form?
  {
    let stored = model.source
    let isStoredQuantized = stored.components.contains(where: \.weights.hasQuantizedTensors)
    let isQuantized = type?.encoding.isQuantized == true
    var (source, plan): (ModelSource, QuantizationPlan?) = (stored, nil)
    if let type {
      if isStoredQuantized, isQuantized { return nil }
      var request = QuantizationRequest(type: type.name, textEncoderType: text?.name)
      if !isQuantized { request.restType = type.name }
      guard let quantized = try QuantizedModel(model.source, request, for: profile) else {
        return nil
      }
      (source, plan) = (quantized.model, quantized.plan[ComponentName.unet])
      if !isQuantized, !isStoredQuantized, source.unetBytes > stored.unetBytes { return nil }
    } else if !isStoredQuantized || profile.firstUnread(in: stored) != nil {
      return nil
    }
    let bytes = profile.storedBytes(of: source)
    guard bytes <= stored.components.reduce(0, { $0 + $1.weights.byteCount }) else { return nil }
    let estimate = try MemoryEstimate(source, in: profile.memory, size: model.defaultSize)
    let memory = estimate.peak?.total ?? 0
    let held = profile.components(heldOf: source)
    let loadedBesides = source.components.filter { !held.contains($0.name) }
    let isDefault = writer.profiles.first?.name == profile.name
    return ModelForms.Form(
      program: profile.name, title: profile.title, layout: writer.name, isDefault: isDefault,
      output: outputName(type, text: text, program: isDefault ? nil : profile.name),
      type: type?.name, textEncoderType: text?.name, isQuantized: isQuantized,
      isUNetAlone: held == [ComponentName.unet] && !loadedBesides.isEmpty,
      plainConvolutionType: plan?.plainConvolutionType, bytes: bytes,
      wholeBytes: bytes + loadedBesides.reduce(0) { $0 + $1.weights.byteCount }, memory: memory,
      fits: memory <= budget, rank: rank, memorySwitches: profile.memorySwitches)
  }

  /// The form with int8 text encoders, where these are in memory all the time; `nil` unless it fits
  /// and `form` does not, or it saves more than 10 % of the memory.
  func formWithQuantizedText(
    _ form: ModelForms.Form, _ type: (any Scheme)?, rank: Int
  ) throws -> ModelForms.Form? {
    guard form.isQuantized, profile.memory.residency == .allComponents,
      let smaller = try self.form(type, text: Schemes.int8, rank: rank)
    else { return nil }
    return smaller.fits && !form.fits || 10 * smaller.memory < 9 * form.memory ? smaller : nil
  }

  /// A name that differs from the input's and from those of other forms: `sd15-int8.gguf`,
  /// `sd15-int8-comfyui.gguf`.
  ///
  /// - Parameter program: `nil` for the default of the layout.
  private func outputName(
    _ type: (any Scheme)?, text: (any Scheme)?, program: String?
  ) -> String {
    let stem = PathParts(model.source.location).stemAndExtension.stem
    let words = [stem, type?.name ?? "copy", text.map { "text-\($0.name)" }, program]
    return writer.outputName(stem: words.compactMap { $0 }.joined(separator: "-"))
  }
}

extension ModelSource {
  fileprivate var unetBytes: Int { self[ComponentName.unet]?.weights.byteCount ?? 0 }
}

extension Scheme {
  fileprivate var hasScaledScales: Bool { (encoding.codeFormat?.scales.count ?? 0) > 1 }

  /// The width of a stored number or code.
  fileprivate var bits: Int {
    encoding.codeFormat?.bits ?? 8 * (encoding.numberWidths.first ?? 0)
  }
}

extension QuantizedModel {
  /// The model as one program's output holds it. Reads no weights.
  ///
  /// - Parameter source: a model, or a part of one that has a U-Net.
  /// - Returns: `nil` where the program reads nothing near a type of the request.
  init?(
    _ source: ModelSource, _ request: QuantizationRequest, for profile: any OutputProfile
  ) throws {
    do {
      try self.init(
        source, request, orPart: true,
        fitting: {
          try $0.fitting(profile, layout: profile.container, component: $1, rest: $2, reason: "")
        })
    } catch is PlanFitError {
      return nil
    }
  }
}

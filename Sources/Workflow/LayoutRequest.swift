private import Checkpoints
internal import ModelSources
internal import Quantization
internal import Support
internal import Tensors

/// The layout in which a model is written, and how.
package struct LayoutRequest: Sendable {
  /// The name of a layout (`decant`, `diffusers`); `nil` derives it from the output's name.
  package var kind: String?
  /// The name of a numbering, as it was requested.
  private let numbering: String?
  var options: WriteOptions
  /// Whether a model with changes that the user did not ask for is refused.
  package var isStrict = false

  /// - Parameters:
  ///   - variant: the variant in the names of a diffusers folder's weight files.
  ///   - maxShardSize: the largest size of one file of weights, in bytes.
  ///   - program: the name of an output profile: one of ``programNames``.
  ///   - numbering: how a single file numbers blocks: one of ``numberingNames``.
  ///   - codes: whether a `.decant` file's numbers are compressed without loss; `nil` means yes.
  package init(
    kind: String? = nil, variant: String? = nil, maxShardSize: Int? = nil, program: String? = nil,
    numbering: String? = nil, codes: Bool? = nil
  ) {
    self.kind = kind
    self.numbering = numbering
    options = WriteOptions(
      variant: variant, maxShardSize: maxShardSize, program: program.map(programName),
      numbering: numbering.flatMap { name in
        member(named: name, of: BlockNumbering.allCases) { [$0.rawValue] }
      }, codes: codes)
  }

  /// The writer for a plan without an output: that of ``kind``, else the first one that writes for
  /// the program, else that of `.decant` files, which hold every type.
  ///
  /// - Throws: ``JobError`` or ``LayoutError`` for an unknown name, ``JobError`` for settings that
  ///   the layout does not have.
  func writer() throws -> any ModelWriter {
    let writers = Layouts.writers
    let writer: any ModelWriter
    if let kind {
      writer = try writers.writer(for: "", named: kind)
    } else if let program = options.program {
      let writing = writers.first { $0.profiles.contains { $0.name == program } }
      guard let writing else {
        throw JobError(unknown: program, "program", expected: programNames)
      }
      writer = writing
    } else {
      writer = writers[0]
    }
    try check(writer, output: nil)
    return writer
  }

  /// A note where the ending of the output's name stands for another layout than the one that was
  /// chosen.
  func notes(on output: String, by writer: any ModelWriter) -> [String] {
    guard kind != nil, !PathParts(output).stemAndExtension.extension.isEmpty,
      let named = Layouts.writers.first(where: { $0.claims(output) }), named.name != writer.name
    else { return [] }
    return ["\(output) is a \(writer.layout); its name is that of a \(named.layout)"]
  }

  /// Refuses settings and programs that the layout does not have.
  ///
  /// - Parameter output: the path that messages name; `nil` names none.
  /// - Throws: ``JobError``.
  func check(_ writer: any ModelWriter, output: String?) throws {
    if let numbering, options.numbering == nil {
      throw JobError(unknown: numbering, "numbering", expected: numberingNames)
    }
    let place = output.map { "\($0): " } ?? ""
    for (setting, feature) in options.layoutSettings where !writer.settings.contains(setting) {
      let others = Layouts.writers.filter { $0.settings.contains(setting) }.map(\.layout)
      throw JobError(
        "\(place)a \(writer.layout) does not support \(feature); expected a "
          + alternatives(others),
        remedy: .leaveOut(setting))
    }
    do { _ = try writer.profile(options) } catch {
      let others = otherLayouts(than: writer).filter {
        $0.profiles.contains { $0.name == options.program }
      }
      guard let program = options.program, !others.isEmpty else {
        throw JobError("\(place)\(error)")
      }
      let fault = others.flatMap(\.profiles).filter { $0.name == program }.lazy
        .compactMap { $0.fault(in: writer.name) }.first
      let layouts = alternatives(others.map { "a \($0.layout)" })
      throw JobError(
        "\(place)for the program '\(program)', Decant writes \(layouts), not a \(writer.layout)"
          + (fault.map { ": \($0)" } ?? ""),
        remedy: .choose(.outputFormat, others.map(\.name)))
    }
  }

  /// The other layouts that a model can be written in. A file of one component has none.
  private func otherLayouts(than writer: any ModelWriter) -> [any ModelWriter] {
    let layouts = Layouts.writers
    return layouts.contains { $0.name == writer.name }
      ? layouts.filter { $0.name != writer.name } : []
  }

  /// The plan of a component with the encodings that the layout can hold.
  ///
  /// Of a U-Net, layers that the program does not read quantized become plain numbers. A plan for
  /// another component is the user's choice, and is refused where it would change nothing.
  ///
  /// - Parameters:
  ///   - model: the model before it is quantized.
  ///   - output: the path that messages name; `nil` names none.
  /// - Throws: ``JobError`` for an encoding that the layout cannot hold.
  func fitting(
    _ plan: QuantizationPlan, of component: String, in model: ModelSource,
    by writer: any ModelWriter, rest: any Scheme, output: String?
  ) throws -> QuantizationPlan {
    let isUNet = component == ComponentName.unet
    func fitted(
      _ writer: any ModelWriter, _ profile: any OutputProfile
    ) throws(PlanFitError) -> QuantizationPlan {
      try self.fitted(plan, of: component, in: model, by: writer, for: profile, rest: rest)
    }
    do {
      return try fitted(writer, try writer.profile(options))
    } catch let error as PlanFitError {
      let others: Remedy =
        isUNet
        ? .choose(.type, try types(near: error.scheme, for: writer)) : .leaveOut(.textEncoderType)
      throw JobError(
        (output.map { "\($0): " } ?? "") + "\(error)",
        remedy: remedy(for: writer, else: [others]) { other, profile in
          (try? fitted(other, profile)) != nil && (isUNet || profile.refusal(model) == nil)
        })
    }
  }

  /// The quantized type of the fewest bits, but no fewer than those of `name`, that the program reads,
  /// and the plain one.
  private func types(near name: String, for writer: any ModelWriter) throws -> [String] {
    let profile = try writer.profile(options)
    func bits(_ scheme: any Scheme) -> Int { scheme.encoding.codeFormat?.bits ?? 0 }
    let least = Schemes.named(name).map(bits) ?? 0
    let near = Schemes.all.filter {
      $0.encoding.isQuantized && bits($0) >= least && profile.accepted($0.encoding) == $0.encoding
    }.min { bits($0) < bits($1) }
    return (near.map { [$0.name] } ?? []) + [Schemes.half.name]
  }

  /// The plan of a component with the encodings that one program reads.
  ///
  /// - Throws: ``PlanFitError`` for an encoding that the program does not read, and for a component
  ///   but the U-Net of which it reads no layer quantized.
  private func fitted(
    _ plan: QuantizationPlan, of component: String, in model: ModelSource,
    by writer: any ModelWriter, for profile: any OutputProfile, rest: any Scheme
  ) throws(PlanFitError) -> QuantizationPlan {
    let isUNet = component == ComponentName.unet
    let layout = writer.title(for: profile)
    let fitted: QuantizationPlan
    do {
      fitted = try plan.fitting(
        profile, layout: layout, component: component, rest: rest,
        reason: "\(profile.title) reads it as plain numbers only")
    } catch {
      throw isUNet
        ? error : PlanFitError(scheme: error.scheme, layout: layout, component: component)
    }
    if isUNet { return fitted }
    let isHeld = profile.components(heldOf: model).contains(component)
    guard isHeld, fitted.quantizes || !plan.quantizes else {
      let entry = plan.entries.first(where: \.scheme.encoding.isQuantized) ?? plan.entries.first
      throw PlanFitError(
        scheme: entry?.scheme.name ?? "", layout: layout, component: component)
    }
    return fitted
  }

  /// Refuses a model with quantized weights that the layout cannot hold. Reads no weights.
  ///
  /// - Parameters:
  ///   - offersTypes: whether the job can store the weights as plain numbers instead.
  ///   - output: the path that messages name.
  /// - Throws: ``JobError``.
  func checkEncodings(
    _ model: ModelSource, by writer: any ModelWriter, offersTypes: Bool, output: String
  ) throws {
    let profile = try writer.profile(options)
    guard let unread = profile.firstUnread(in: profile.fitted(model)) else { return }
    // The nearest type that the layout holds, which only the original's numbers give.
    let near = Schemes.all.first {
      $0.encoding.isQuantized && $0.encoding == profile.accepted(unread.encoding)
    }
    let others: [Remedy] =
      (offersTypes ? [.choose(.type, [Schemes.half.name])] : [])
      + (near.map { [.quantizeOriginalAs($0.name)] } ?? [])
    throw JobError(
      "\(output): \(PlanFitError(unread, layout: writer.title(for: profile)))",
      remedy: remedy(for: writer, else: others) {
        $1.firstUnread(in: $1.fitted(model)) == nil && $1.refusal(model) == nil
      })
  }

  /// The other programs and layouts that can hold the weights, and other remedies.
  private func remedy(
    for writer: any ModelWriter, else others: [Remedy],
    where holds: (any ModelWriter, any OutputProfile) -> Bool
  ) -> Remedy? {
    let programs = writer.profiles.filter { holds(writer, $0) }.map(\.name)
    let layouts = otherLayouts(than: writer).filter { other in
      // The program that was named stays, and no other one is named.
      other.profiles.first { [nil, $0.name].contains(options.program) }
        .map { holds(other, $0) } == true
    }.map(\.name)
    let remedies: [Remedy] =
      (programs.isEmpty ? [] : [.choose(.program, programs)])
      + (layouts.isEmpty ? [] : [.choose(.outputFormat, layouts)])
      + others
    return remedies.isEmpty ? nil : .either(remedies)
  }
}

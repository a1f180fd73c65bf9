internal import ArgumentParser
internal import Support
internal import Workflow

/// `decant quantize`. Stores weights in fewer bits.
struct QuantizeCommand: WritingCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize",
    abstract: "Stores the U-Net's convolutions and linear layers in fewer bits.",
    discussion: """
      All other weights are stored as --rest-type: those of the VAE, and of the text encoders without \
      --text-encoder-type.

      Example: decant quantize sd-v1-5/ --type int8 --for comfyui --dry-run
      Example: decant quantize sd15/ -o a.decant -t int8 --calibration a.calibration
      Example: decant quantize sd15/ -o b.decant --target-size 500MB --calibration c
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: String

  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp(
      "Where to write: \(alternatives(quantizedOutputForms.map(\.help))). Optional with --dry-run.",
      valueName: "out"),
    completion: .file())
  var output: String?

  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      "Type of the U-Net's weights: \(typeHelp). Required without a target and without --plan.",
      valueName: "type"),
    completion: .list(schemeNames))
  var type: String?

  @Option(
    help: ArgumentHelp(
      "The model's calibration, from `decant calibrate`: rounding errors are weighted by the "
        + "inputs of each layer (default: not weighted).", valueName: "file"),
    completion: .file())
  var calibration: String?

  @Flag(
    help: """
      Print the type and size of every group of tensors of the quantized components, and write \
      nothing.
      """)
  var dryRun = false

  @OptionGroup var quantization: QuantizationArguments
  @OptionGroup var layout: LayoutArguments
  @OptionGroup var strict: StrictArguments
  @OptionGroup var read: InputArguments
  @OptionGroup var threads: ThreadArguments
  @OptionGroup var common: CommonArguments

  func validate() throws {
    if output == nil, !dryRun {
      throw ValidationError("No output is named; give -o OUT, or --dry-run to see the plan.")
    }
    try quantization.check(type: type, isRequired: true)
  }

  func job() -> QuantizeJob {
    return QuantizeJob(
      model: model, reading: read.value,
      output: output.map { layout.request($0, strict) }, layout: layout.value(strict),
      isDryRun: dryRun,
      request: quantization.request(type: type), calibration: calibration)
  }

  func written(by outcome: QuantizeOutcome) -> WrittenModel? {
    if case .written(let written) = outcome { written } else { nil }
  }

  func changesOfPlan(in outcome: QuantizeOutcome) -> [(text: String, remedy: Remedy?)] {
    if case .planned(let planned) = outcome { planned.listedChanges } else { [] }
  }
}

extension OutputForm {
  /// The output in help: `NAME/ with --for sdnq`.
  fileprivate var help: String {
    programs.isEmpty ? name : "\(name) with --for \(alternatives(programs))"
  }
}

/// The help of a type: every name, and the other names that are accepted.
let typeHelp =
  "\(schemeNames.joined(separator: ", ")); other names, in any case: "
  + schemeAliases.joined(separator: ", ")

/// Choices of quantization, for `quantize` and `shrink`.
struct QuantizationArguments: ParsableArguments {
  @Flag(
    help: ArgumentHelp(
      "Rotate groups of the U-Net's weights before they are rounded (ConvRot): "
        + rotatedTypes.map { "--type \($0.type) becomes \($0.rotated)" }.joined(separator: ", ")
        + "."))
  var convrot = false

  @Option(
    help: ArgumentHelp(
      "Type of the text encoders' linear layers, which "
        + "\(listed(quantizedTextOutputForms.map(\.help))) can hold; embeddings and norms stay "
        + "--rest-type (default: --rest-type).", valueName: "type"),
    completion: .list(schemeNames))
  var textEncoderType: String?

  @Option(
    help: ArgumentHelp(
      "How weights are rounded. \(roundingMethodSummaries.joined(separator: "; ")) (default: "
        + "\(defaultRoundingMethods.withCalibration) with a calibration, else "
        + "\(defaultRoundingMethods.without)).",
      valueName: "method"),
    completion: .list(roundingMethodNames))
  var method: String?

  @Option(
    help: ArgumentHelp(
      "Memory that \(defaultRoundingMethods.withCalibration) may use, such as 6GB; with more, it "
        + "runs the model fewer times (default: a quarter of the machine's).",
      valueName: "size"), transform: ByteSize.init)
  var memory: ByteSize?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Store these modules of the U-Net as --rest-type too, such as 'up_blocks.3.*'. Can be repeated.",
      valueName: "pattern"))
  var keep: [String] = []

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("Quantize only these modules. Can be repeated.", valueName: "pattern"))
  var only: [String] = []

  @Option(
    help: ArgumentHelp(
      "The share of the weights that stays as --rest-type, those of the most sensitive layers first; "
        + "0 for none (default: \(ShareArgument.standard)). Their sensitivities are measured with "
        + "--calibration, else assumed.", valueName: "percent"))
  var keepSensitive: ShareArgument?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Store these modules in this type, such as 'conv_out=int8', also those that are not "
        + "quantized by default. Can be repeated.",
      valueName: "pattern=type"))
  var assign: [String] = []

  @Option(
    help: ArgumentHelp(
      "Type of all weights that are not quantized: \(plainTypeNames.joined(separator: ", ")).",
      valueName: "type"),
    completion: .list(plainTypeNames))
  var restType: String = defaultRestType

  @OptionGroup var targets: TargetArguments

  /// Refuses --convrot with a type whose weights are not rotated, --keep-sensitive where it has no
  /// effect, and several settings that decide on types. An unknown type is left to the job.
  ///
  /// - Parameters:
  ///   - type: the value of --type; `nil` where it is not given.
  ///   - isRequired: whether one of the settings must be given.
  func check(type: String?, isRequired: Bool = false) throws {
    try targets.check(type: type, isRequired: isRequired)
    if targets.plan != nil {
      let idle = [
        ("--convrot", convrot), ("--text-encoder-type", textEncoderType != nil),
        ("--keep", !keep.isEmpty), ("--only", !only.isEmpty), ("--assign", !assign.isEmpty),
      ].filter(\.1).map(\.0)
      if !idle.isEmpty {
        throw ValidationError(
          "\(listed(idle)) \(idle.count == 1 ? "contradicts" : "contradict") --plan, which has the type "
            + "of each layer; leave \(idle.count == 1 ? "it" : "them") out.")
      }
    }
    if keepSensitive != nil,
      let option = (targets.given + (only.isEmpty ? [] : ["--only"])).first
    {
      throw ValidationError(
        "--keep-sensitive has no effect with \(option), which decides on the types of the layers; "
          + "leave it out.")
    }
    if convrot, targets.target != nil {
      throw ValidationError("--convrot needs --type, and no target.")
    }
    guard let type else { return }
    let name = typeName(type)
    guard convrot, schemeNames.contains(name), rotatedTypeName(name) == nil else { return }
    let types = alternatives(rotatedTypes.map(\.type))
    throw ValidationError("--convrot needs --type \(types), not \(name).")
  }

  /// - Parameter type: `nil` with a target and with --plan.
  func request(type: String?) -> QuantizationRequest {
    QuantizationRequest(
      type: type.map { (convrot ? rotatedTypeName($0) : nil) ?? $0 },
      textEncoderType: textEncoderType,
      method: method, memory: memory?.bytes, keep: keep, keptShare: keepSensitive?.share,
      only: only,
      assign: assign, restType: restType, target: targets.target, plan: targets.plan)
  }
}

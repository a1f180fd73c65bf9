internal import ArgumentParser
private import Support
internal import Workflow

/// Where a model is written.
struct OutputArguments: ParsableArguments {
  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp(
      "Where to write: \(alternatives(outputForms)).",
      valueName: "out"),
    completion: .file())
  var output: String
}

/// The layout of a model that is written.
struct LayoutArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The layout to write: \(writerNames.joined(separator: ", ")) (default: what the name says).",
      valueName: "layout"),
    completion: .list(writerNames))
  var to: String?

  @Option(
    name: .customLong("for"),
    help: ArgumentHelp(
      "The program that will read the output: \(programNames.joined(separator: ", ")) (default: "
        + "the standard one of the layout).", valueName: "program"),
    completion: .list(programNames))
  var program: String?

  @Option(
    help: ArgumentHelp(
      "Name the weight files of a diffusers folder after this variant, such as fp16.",
      valueName: "name"))
  var outputVariant: String?

  @Option(
    help: ArgumentHelp(
      """
      Split the weights of a diffusers folder into files of at most this size: 500MB, 2GB (powers \
      of ten), 2GiB (default: do not split).
      """, valueName: "size"),
    transform: ByteSize.init)
  var maxShardSize: ByteSize?

  @Option(
    help: ArgumentHelp(
      """
      How a single file numbers the blocks of a stripped U-Net: dense, for diffusers and ComfyUI, \
      or gap, for stable-diffusion.cpp (default: dense).
      """, valueName: "kind"),
    completion: .list(numberingNames))
  var numbering: String?

  @Flag(
    inversion: .prefixedNo,
    help: """
      Code the weights of a .decant file without loss: smaller, but slower to write and read \
      (default: --coding).
      """)
  var coding: Bool?

  @Flag(help: "Replace an existing output.")
  var force = false

  /// - Parameter strict: how changes that the user did not ask for are handled.
  func value(_ strict: StrictArguments) -> LayoutRequest {
    var value = value
    value.isStrict = strict.strict
    return value
  }

  var value: LayoutRequest {
    LayoutRequest(
      kind: to, variant: outputVariant, maxShardSize: maxShardSize?.bytes, program: program,
      numbering: numbering, codes: coding)
  }

  func request(_ path: String) -> OutputRequest {
    OutputRequest(path: path, layout: value, replacing: force)
  }

  /// - Parameter strict: how changes that the user did not ask for are handled.
  func request(_ path: String, _ strict: StrictArguments) -> OutputRequest {
    OutputRequest(path: path, layout: value(strict), replacing: force)
  }
}

/// How changes to a model that the user did not ask for are handled.
struct StrictArguments: ParsableArguments {
  @Flag(
    help: """
      Refuse, before anything is written, a model of which something would be left out, changed or \
      assumed that no option asks for. Defaults that the output needs are added nevertheless.
      """)
  var strict = false
}

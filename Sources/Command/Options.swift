internal import ArgumentParser
private import Foundation
internal import Support
internal import Workflow

/// What every command takes.
struct CommonArguments: ParsableArguments {
  @Flag(name: .long, help: "Say nothing on standard error but errors.")
  var quiet = false

  @Flag(name: .long, help: "Say more on standard error.")
  var verbose = false

  @Flag(help: "Print the facts as JSON.")
  var json = false
}

/// What MODEL is.
let modelHelp = ArgumentHelp(
  "A diffusers folder, or a file: .decant, .safetensors, .ckpt, .gguf. It is found by looking.")

/// How a model is read.
struct ReadArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp("Read this variant of a diffusers folder, as fp16.", valueName: "name"))
  var variant: String?

  @Flag(help: "Read the moving average (EMA) of the U-Net's weights that a single file holds.")
  var ema = false

  @Option(
    help: ArgumentHelp(
      "What the U-Net predicts, if not what the model says: \(predictionNames.joined(separator: ", ")).",
      valueName: "type"))
  var prediction: String?

  @Flag(help: "Accept NaN and infinite numbers in the weights.")
  var allowNonfinite = false

  /// Names of the options that are given.
  var given: [String] {
    [
      ("--variant", variant != nil), ("--ema", ema), ("--prediction", prediction != nil),
      ("--allow-nonfinite", allowNonfinite),
    ].filter(\.1).map(\.0)
  }

  var value: InputOptions {
    InputOptions(
      variant: variant, ema: ema, prediction: prediction, allowsNonfinite: allowNonfinite)
  }
}

/// How a model is read and put together.
struct InputArguments: ParsableArguments {
  @OptionGroup var read: ReadArguments

  @Option(
    help: ArgumentHelp(
      """
      Merge a LoRA or LoHa, a file or the folder that diffusers or PEFT saved, with a scale of 1 unless \
      told; may be repeated.
      """, valueName: "file[:scale]"))
  var lora: [String] = []

  @Flag(help: "Pass over modules of --lora that the model does not have.")
  var allowUnused = false

  @Option(help: ArgumentHelp("Take the U-Net from there.", valueName: "model"))
  var unet: String?

  @Option(help: ArgumentHelp("Take the VAE from there.", valueName: "model"))
  var vae: String?

  @Option(help: ArgumentHelp("Take the text encoder from there.", valueName: "model"))
  var textEncoder: String?

  @Option(
    name: .customLong("text-encoder-2"),
    help: ArgumentHelp("Take the second text encoder from there.", valueName: "model"))
  var textEncoder2: String?

  /// Names of the options that are given.
  var given: [String] {
    read.given
      + [
        ("--lora", !lora.isEmpty), ("--allow-unused", allowUnused), ("--unet", unet != nil),
        ("--vae", vae != nil), ("--text-encoder", textEncoder != nil),
        ("--text-encoder-2", textEncoder2 != nil),
      ].filter(\.1).map(\.0)
  }

  var value: InputOptions {
    var options = read.value
    options.composition = Composition(
      unet: unet, vae: vae, textEncoder: textEncoder, textEncoder2: textEncoder2, adapters: lora,
      allowsUnused: allowUnused)
    return options
  }
}

/// Where a result goes.
struct OutputArguments: ParsableArguments {
  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp(
      """
      Where to write: NAME.decant, NAME.gguf, NAME.safetensors (a single-file checkpoint), or NAME/, a diffusers \
      folder.
      """,
      valueName: "out"))
  var output: String

  @OptionGroup var layout: LayoutArguments

  var value: OutputRequest { layout.request(output) }
}

/// What may be chosen of a layout.
struct LayoutArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Write this kind whatever the name: \(writerNames.joined(separator: ", ")).",
      valueName: "kind"))
  var to: String?

  @Option(
    name: .customLong("for"),
    help: ArgumentHelp(
      "The program that shall read it: \(programNames.joined(separator: ", ")).",
      valueName: "program"))
  var program: String?

  @Option(
    help: ArgumentHelp(
      "Name the weights of a diffusers folder after this variant, as fp16.", valueName: "name"))
  var outputVariant: String?

  @Option(
    help: ArgumentHelp(
      "Split the weights of a diffusers folder into files of at most this size, as 2GB.",
      valueName: "size"))
  var maxShardSize: ByteSize?

  @Option(
    help: ArgumentHelp(
      "How a single file numbers blocks of a stripped U-Net: dense (diffusers, ComfyUI) or gap.",
      valueName: "kind"))
  var numbering: String?

  @Flag(
    inversion: .prefixedNo,
    help: "Code the numbers of a .decant file without loss: smaller, and slower to write and read.")
  var coding: Bool?

  @Flag(help: "Replace what stands at the output's place.")
  var force = false

  func request(_ path: String) -> OutputRequest {
    OutputRequest(
      path: path, kind: to, replacing: force, variant: outputVariant,
      maxShardSize: maxShardSize?.bytes, program: program, numbering: numbering,
      codes: coding)
  }
}

/// A number of bytes as `500MB` or `2GB` (powers of ten), or `2GiB`.
struct ByteSize: ExpressibleByArgument {
  let bytes: Int

  init?(argument: String) {
    let text = argument.uppercased()
    let units = [
      ("KIB", 1 << 10), ("MIB", 1 << 20), ("GIB", 1 << 30), ("KB", 1_000), ("MB", 1_000_000),
      ("GB", 1_000_000_000), ("", 1),
    ]
    guard let (unit, factor) = units.first(where: { text.hasSuffix($0.0) }),
      let number = Double(text.dropLast(unit.count)), number > 0,
      let bytes = Int(exactly: (number * Double(factor)).rounded()), bytes > 0
    else { return nil }
    self.bytes = bytes
  }
}

/// How computing is done.
struct ComputeArguments: ParsableArguments {
  @OptionGroup var threads: ThreadArguments

  @Option(help: ArgumentHelp("What arithmetic is done in.", valueName: "kind"))
  var compute: ComputeArgument = .f32

  func apply() { threads.apply() }
}

/// A kind of arithmetic.
struct ComputeArgument: ExpressibleByArgument, CustomStringConvertible {
  static let f32 = ComputeArgument(value: .f32)

  let value: Compute

  private init(value: Compute) { self.value = value }

  init?(argument: String) {
    guard let value = Compute(name: argument) else { return nil }
    self.init(value: value)
  }

  static var allValueStrings: [String] { Compute.names }
  var description: String { value.name }
  var defaultValueDescription: String { value.name }
}

/// How many threads work.
struct ThreadArguments: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Processor threads (all processors unless told).", valueName: "n"))
  var threads: Int?

  func validate() throws {
    if let threads, threads < 1 || threads > 1024 {
      throw ValidationError("--threads takes 1 to 1024, not \(threads).")
    }
  }

  func apply() {
    if let threads { setThreads(threads) }
  }
}

/// A picture's size as `WIDTHxHEIGHT`.
extension ImageSize: ExpressibleByArgument {
  package init?(argument: String) { self.init(text: argument) }
}

/// A place in a picture as `X,Y`.
struct PointArgument: ExpressibleByArgument {
  let x: Int
  let y: Int

  init?(argument: String) {
    let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
    guard parts.count == 2, let x = Int(parts[0]), let y = Int(parts[1]) else { return nil }
    self.x = x
    self.y = y
  }
}

/// A command that runs one job and prints what came of it.
protocol JobCommand: AsyncParsableCommand {
  associatedtype Work: Job
  var common: CommonArguments { get }
  func job() throws -> Work
  /// Called with the outcome after it was printed: for checks that fail the command.
  func check(_ outcome: Work.Outcome) throws
}

extension JobCommand {
  func check(_ outcome: Work.Outcome) throws {}

  func run() async throws {
    try checkInstructionSet(ProcessInfo.processInfo.environment["DECANT_SIMD"])
    let printer = ProgressPrinter(quiet: common.quiet, verbose: common.verbose)
    defer { printer.finish() }
    let outcome = try await job().run { printer.show($0) }
    printer.finish()
    if common.json {
      try StandardStreams.printResult(outcome.jsonText)
    } else {
      let suggestions = outcome.suggestions.map { "hint: \($0.sentence)" }
      let lines = [outcome.text].filter { !$0.isEmpty } + suggestions
      if !lines.isEmpty { try StandardStreams.printResult(lines.joined(separator: "\n")) }
    }
    try check(outcome)
  }
}

internal import ArgumentParser
private import Support
internal import Workflow

/// What decides on the types of layers instead of --type, for `quantize` and `shrink`.
struct TargetArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Choose the types of the U-Net's layers so that the whole output takes at most this size, such as "
        + "500MB, and no less than 99 % of it.", valueName: "size"), transform: ByteSize.init)
  var targetSize: ByteSize?

  @Option(
    help: ArgumentHelp(
      "Choose them so that the U-Net's convolutions and linear layers take at most this many stored bits "
        + "a weight, such as 4.5.", valueName: "bits"))
  var targetBits: BitsArgument?

  @Option(
    help: ArgumentHelp(
      "Choose them so that the error of the guided prediction, measured with the calibration, is at most "
        + "this percentage.", valueName: "percent"))
  var maxError: PercentArgument?

  @Option(
    help: ArgumentHelp(
      "Choose them so that the program that --for names needs at most this memory for one image.",
      valueName: "size"), transform: ByteSize.init)
  var vram: ByteSize?

  @Option(
    help: ArgumentHelp(
      "Take the type of each layer from this file, such as the output of --dry-run --json.",
      valueName: "file"),
    completion: .file())
  var plan: String?

  private var targets: [(option: String, target: QuantizationTarget)] {
    let all: [(String, QuantizationTarget?)] = [
      ("--target-size", targetSize.map { .size($0.bytes) }),
      ("--target-bits", targetBits.map { .bits($0.bits) }),
      ("--max-error", maxError.map { .error($0.ratio) }),
      ("--vram", vram.map { .memory($0.bytes) }),
    ]
    return all.compactMap { option, target in target.map { (option, $0) } }
  }

  var target: QuantizationTarget? { targets.first?.target }

  /// Whether neither a target nor a plan is given.
  var isEmpty: Bool { given.isEmpty }

  /// Names of the options that are given.
  var given: [String] { targets.map(\.option) + (plan == nil ? [] : ["--plan"]) }

  /// - Parameters:
  ///   - type: the value of --type; `nil` where it is not given.
  ///   - isRequired: whether one of the settings must be given.
  func check(type: String?, isRequired: Bool) throws {
    let all = (type == nil ? [] : ["--type"]) + given
    if all.count > 1 {
      throw ValidationError("Give one of \(listed(all)): each decides on the types of all layers.")
    }
    if all.isEmpty, isRequired {
      throw ValidationError(
        "No type is given; give --type TYPE, a target (--target-size, --target-bits, --max-error or "
          + "--vram) or --plan FILE.")
    }
  }
}

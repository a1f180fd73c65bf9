internal import ArgumentParser
internal import Support
internal import Workflow

/// `decant bench`. Measures the speed and memory of models.
struct BenchCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measures models: seconds and processor seconds per step, and peak memory.",
    discussion: """
      With --guidance-scale 1, a step is one U-Net call; otherwise it is two. --family and --compute take \
      lists.

      Example: decant bench sd-v1-5/ small.decant --steps 4 --size 256x256 --json
      Example: decant bench --family sd-v1-4,ssd-1b --compute f32,int8
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: [String] = []

  @Option(
    help: ArgumentHelp(
      "Measure these families with random weights: \(familyNames.joined(separator: ", ")).",
      valueName: "name,…"),
    completion: .list(familyNames))
  var family: [String] = []

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Sampling steps.", valueName: "n"))
  var steps: Int = 4

  @Option(
    help: ArgumentHelp(
      "Image width and height in pixels (default: each model's own).", valueName: "WxH"))
  var size: ImageSize?

  @Option(
    name: guidanceScaleNames, parsing: .unconditional,
    help: ArgumentHelp(
      "Classifier-free guidance scale; 1 turns guidance off.", valueName: "g"))
  var guidanceScale = GenerateRequest.standard.guidanceScale

  @Flag(help: "Report the time by kind of operation and by block.")
  var profile = false

  @Flag(help: "Also time single operations of a U-Net, compared with the processor's peak.")
  var kernels = false

  @OptionGroup var read: ReadArguments
  @Option(
    help: ArgumentHelp(
      "Arithmetic, one measurement for each: \(Compute.names.joined(separator: ", ")).",
      valueName: "kind,…"),
    completion: .list(Compute.names))
  var compute: String = Compute.f32.name

  @OptionGroup var threads: ThreadArguments
  @OptionGroup var common: CommonArguments

  func validate() throws {
    if model.isEmpty, family.isEmpty, !kernels {
      throw ValidationError("Nothing to measure; give a MODEL, --family NAME or --kernels.")
    }
    for kind in commaSeparated([compute]) where Compute(name: kind) == nil {
      throw ValidationError(
        "--compute takes \(Compute.names.joined(separator: ", ")), not '\(kind)'.")
    }
    try requirePositive([("--steps", steps)])
  }

  func job() -> BenchJob {
    return BenchJob(
      models: model, families: commaSeparated(family), reading: read.value,
      computes: commaSeparated([compute]).compactMap(Compute.init), steps: steps,
      size: size, guidanceScale: guidanceScale, profiles: profile, kernels: kernels,
      childArguments: { [arguments = childArguments] measurement in
        let compute = ["--compute", measurement.compute.name]
        switch measurement.subject {
        case .model(let path): return arguments + compute + ["--", path]
        case .family(let name): return arguments + compute + ["--family", name]
        }
      })
  }

  /// The arguments of a child process that does one measurement, without the model and its
  /// arithmetic.
  private var childArguments: [String] {
    var arguments = [
      "bench", "--json", "--quiet", "--steps", "\(steps)", "--guidance-scale", "\(guidanceScale)",
    ]
    if let size { arguments += ["--size", "\(size)"] }
    if profile { arguments.append("--profile") }
    if let variant = read.variant { arguments += ["--variant", variant] }
    if read.ema { arguments.append("--ema") }
    if let prediction = read.prediction { arguments += ["--prediction", prediction] }
    if read.allowNonfinite { arguments.append("--allow-nonfinite") }
    if let threads = threads.threads { arguments += ["--threads", "\(threads)"] }
    return arguments
  }
}

/// The members of lists like `a,b`.
private func commaSeparated(_ lists: [String]) -> [String] {
  lists.flatMap { $0.split(separator: ",").map(String.init) }
}

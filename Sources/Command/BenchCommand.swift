internal import ArgumentParser
internal import Support
internal import Workflow

/// `decant bench`. Measures the speed and memory of models.
struct BenchCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measures models: seconds and processor seconds per step, and peak memory.",
    discussion: """
      With --guidance-scale 1, a step is one U-Net call; otherwise it is two. --family and \
      --compute take lists.

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

  func job() throws -> BenchJob {
    let options = try childOptions()
    return BenchJob(
      models: model, families: commaSeparated(family), reading: read.value,
      computes: commaSeparated([compute]).compactMap(Compute.init), steps: steps,
      size: size, guidanceScale: guidanceScale, profiles: profile, kernels: kernels,
      childArguments: { measurement in
        let arguments =
          ["bench", "--json", "--quiet", "--compute", measurement.compute.name] + options
        switch measurement.subject {
        case .model(let path): return arguments + ["--", path]
        case .family(let name): return arguments + ["--family", name]
        }
      })
  }

  /// Options that say what is measured or printed. A child process gets its own.
  private static let ownOptions: Set = [
    "--family", "--compute", "--kernels", "--json", "--quiet", "--verbose",
  ]

  /// The options of a child process that does one measurement: all that are given, apart from
  /// ``ownOptions``.
  private func childOptions() throws -> [String] {
    guard let table = OptionTable(of: Self.self) else {
      throw ValidationError("The options of bench cannot be passed on to a child process.")
    }
    return try table.scanCommandLine().filter { !Self.ownOptions.contains($0.entry.preferredName) }
      .flatMap(\.arguments)
  }
}

/// The members of lists like `a,b`.
func commaSeparated(_ lists: [String]) -> [String] {
  lists.flatMap { $0.split(separator: ",").map(String.init) }
}

internal import ArgumentParser
private import Support
internal import Workflow

/// `decant calibrate`. Records calibration statistics, or merges files of them.
struct CalibrateCommand: JobCommand, RunCommand {
  static let standard = CalibrationRequest(.standard)
  static let stepsDefault = EffortArguments.stepsDefault
  static let sizeDefault = EffortArguments.sizeDefault
  static let promptLimitDefault =
    "all of --prompts FILE, \(EffortArguments.promptsDefault) of Decant's own"

  static let configuration = CommandConfiguration(
    commandName: "calibrate",
    abstract: "Generates images, and records what the U-Net and its layers receive and predict.",
    discussion: """
      The result is for --calibration of quantize, plan, strip and shrink. An interrupted run keeps its \
      finished images beside the output, and --resume continues from them. A finished output of the \
      same model and settings is used again.

      Example: decant calibrate sd-v1-5/ -o sd15.calibration --effort quick
      Example: decant calibrate sd-v1-5/ -o part1 --shard 1/4 --measure sensitivity
      Example: decant calibrate --merge a.calibration b.calibration -o c.calibration
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: String?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Merge two or more calibrations of separate runs, instead of running a model.",
      valueName: "file"),
    completion: .file())
  var merge: [String] = []

  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp("The calibration file to write.", valueName: "file"),
    completion: .file())
  var output: String

  @OptionGroup var effort: EffortArguments
  @OptionGroup var run: RunArguments<Self>

  @Option(
    name: guidanceScaleNames, parsing: .unconditional, help: usualGuidanceHelp)
  var guidanceScale: Double?

  @Option(
    name: schedulerOptionNames, help: schedulerHelp(default: "the model's own"),
    completion: .list(schedulerNames))
  var scheduler: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Begin no further image after N minutes (default: no limit).", valueName: "n"))
  var minutes: Double?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Measure with the recorded calls, and keep the result beside the output: sensitivity, the "
        + "error that each resnet and transformer block adds when it is rounded (each layer with "
        + "--effort thorough); blocks, the error that each block adds when it is removed.",
      valueName: "name"))
  var measure: [Measurements] = []

  @Option(
    help: ArgumentHelp(
      "Generate only part I of N of the images, so that N machines share the work; --merge joins their "
        + "files.", valueName: "I/N"))
  var shard: Shard?

  @Flag(help: "Continue an interrupted run of the same output.")
  var resume = false

  @Flag(help: "Replace an existing output.")
  var force = false

  @OptionGroup var read: InputArguments
  @OptionGroup var compute: ComputeArguments
  @OptionGroup var common: CommonArguments

  func validate() throws {
    if (model == nil) == merge.isEmpty {
      throw ValidationError("Give either a MODEL to run or --merge FILE FILE, not both.")
    }
    if merge.count == 1 { throw ValidationError("--merge takes two files or more, not 1.") }
    if let minutes, !(minutes > 0 && minutes.isFinite) {
      throw ValidationError("--minutes is \(minutes), expected more than 0.")
    }
    if minutes != nil, shard != nil {
      throw ValidationError(
        "--minutes cannot be given with --shard: the parts would not be those of one calibration; "
          + "leave it out.")
    }
    if merge.isEmpty { return }
    if resume {
      throw ValidationError(
        "--resume has no effect with --merge, which runs no model; leave it out.")
    }
    let idle =
      run.given + read.given
      + [
        ("--compute", compute.compute.value != .f32), ("--effort", effort.effort != .standard),
        ("--guidance-scale", guidanceScale != nil), ("--scheduler", scheduler != nil),
        ("--minutes", minutes != nil), ("--measure", !measure.isEmpty), ("--shard", shard != nil),
      ].filter(\.1).map(\.0)
    if !idle.isEmpty {
      throw ValidationError(
        "\(listed(idle)) \(idle.count == 1 ? "has" : "have") no effect with --merge, which runs no "
          + "model; leave \(idle.count == 1 ? "it" : "them") out.")
    }
  }

  var threads: ThreadArguments { compute.threads }

  func job() -> CalibrateJob {
    var settings = run.applied(to: CalibrationRequest(effort.effort))
    settings.guidanceScale = guidanceScale
    settings.scheduler = scheduler
    settings.limit = minutes.map { .seconds($0 * 60) }
    settings.compute = compute.compute.value
    let task: CalibrateJob.Task =
      if let model {
        .run(
          CalibrateJob.Run(
            model: model, reading: read.value, settings: settings, resumes: resume, shard: shard,
            measures: measure.reduce(into: []) { $0.formUnion($1.values) }))
      } else {
        .merge(merge)
      }
    return CalibrateJob(task: task, output: output, replacing: force)
  }
}

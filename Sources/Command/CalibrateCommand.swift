internal import ArgumentParser
internal import Workflow

struct CalibrateCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "calibrate",
    abstract: "Runs prompts through the sampler and records what every U-Net layer sees.",
    discussion: """
      Example: decant calibrate sd-v1-5/ -o sd-v1-5.calibration --steps 20 --seeds 1
      Example: decant calibrate --merge part-1.calibration part-2.calibration -o whole.calibration
      """)

  @Argument(help: modelHelp)
  var model: String?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Join calibration files of disjoint runs instead of running.", valueName: "file"))
  var merge: [String] = []

  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp("The calibration file to write.", valueName: "file"))
  var output: String

  @OptionGroup var run: CalibrationOptions

  @Flag(help: "Go on from what an interrupted run left beside the output.")
  var resume = false

  @Flag(help: "Replace what stands at the output's place.")
  var force = false

  @Flag(help: "Print the facts as JSON.")
  var json = false

  @OptionGroup var read: ModelOptions
  @OptionGroup var compute: ComputeOptions
  @OptionGroup var common: CommonOptions

  var printsJSON: Bool { json }

  func validate() throws {
    if (model == nil) == merge.isEmpty {
      throw ValidationError("Give either a MODEL to run or --merge FILE FILE, and not both.")
    }
    if merge.count == 1 { throw ValidationError("--merge joins two files or more.") }
  }

  func job() -> CalibrateJob {
    compute.apply()
    var settings = run.value
    settings.compute = compute.compute.value
    let task: CalibrateJob.Task =
      if let model {
        .run(model: model, reading: read.value, settings: settings, resumes: resume)
      } else {
        .merge(merge)
      }
    return CalibrateJob(task: task, output: output, replacing: force)
  }
}

/// What a calibration runs.
struct CalibrationOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Prompts, one a line (a list of Decant's own unless given).", valueName: "file"))
  var prompts: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Use only the first so many prompts.", valueName: "n"))
  var promptLimit: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Sampler steps a picture.", valueName: "n"))
  var steps: Int = CalibrationRequest.standard.steps

  @Option(help: ArgumentHelp("Picture size (the model's own unless given).", valueName: "WxH"))
  var size: SizeArgument?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Pictures a prompt, each from noise of its own.", valueName: "n"))
  var seeds: Int = CalibrationRequest.standard.seeds

  func validate() throws {
    for (name, value) in [
      ("--steps", steps), ("--seeds", seeds), ("--prompt-limit", promptLimit ?? 1),
    ]
    where value < 1 {
      throw ValidationError("\(name) takes 1 or more, not \(value).")
    }
  }

  var value: CalibrationRequest {
    var request = CalibrationRequest.standard
    request.promptsPath = prompts
    request.promptLimit = promptLimit
    request.steps = steps
    request.seeds = seeds
    request.size = size.map { PictureSize(width: $0.width, height: $0.height) }
    return request
  }
}

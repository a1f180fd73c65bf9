internal import ArgumentParser
private import Support
internal import Workflow

/// `decant calibrate`. Records calibration statistics, or merges files of them.
struct CalibrateCommand: JobCommand, RunCommand {
  static let standard = CalibrationRequest.standard
  static let promptLimitDefault = "all"

  static let configuration = CommandConfiguration(
    commandName: "calibrate",
    abstract: "Generates images and records statistics of the inputs of every U-Net layer.",
    discussion: """
      The result is for --calibration of quantize and shrink. An interrupted run keeps its \
      finished images beside the output, and --resume continues from them.

      Example: decant calibrate sd-v1-5/ -o sd-v1-5.calibration --steps 20 --seeds 1
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

  @OptionGroup var run: RunArguments<Self>

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
    if merge.isEmpty { return }
    if resume {
      throw ValidationError(
        "--resume has no effect with --merge, which runs no model; leave it out.")
    }
    let idle =
      run.given + read.given + (compute.compute.value == .f32 ? [] : ["--compute"])
    if !idle.isEmpty {
      throw ValidationError(
        "\(listed(idle)) \(idle.count == 1 ? "has" : "have") no effect with --merge, which runs no "
          + "model; leave \(idle.count == 1 ? "it" : "them") out.")
    }
  }

  var threads: ThreadArguments { compute.threads }

  func job() -> CalibrateJob {
    var settings = run.request
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

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

  @OptionGroup var run: RunArguments

  @Flag(help: "Go on from what an interrupted run left beside the output.")
  var resume = false

  @Flag(help: "Replace what stands at the output's place.")
  var force = false

  @OptionGroup var read: InputArguments
  @OptionGroup var compute: ComputeArguments
  @OptionGroup var common: CommonArguments

  func validate() throws {
    if (model == nil) == merge.isEmpty {
      throw ValidationError("Give either a MODEL to run or --merge FILE FILE, and not both.")
    }
    if merge.count == 1 { throw ValidationError("--merge joins two files or more.") }
    if merge.isEmpty { return }
    if resume { throw ValidationError("--merge runs nothing to --resume.") }
    let idle =
      run.given + read.given + (compute.compute.value == .f32 ? [] : ["--compute"])
    if !idle.isEmpty {
      throw ValidationError(
        "--merge runs nothing that \(idle.joined(separator: ", ")) could change.")
    }
  }

  func job() -> CalibrateJob {
    compute.apply()
    var settings = CalibrationRequest.standard
    run.apply(to: &settings)
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

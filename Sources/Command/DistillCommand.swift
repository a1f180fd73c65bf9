internal import ArgumentParser
internal import Workflow

/// `decant distill`. Writes what the training of a student takes.
struct DistillCommand: JobCommand {
  static let configuration = CommandConfiguration(
    commandName: "distill",
    abstract: "Writes a folder with which a GPU trains a stripped model to predict what its "
      + "original predicts.",
    discussion: """
      The folder, a kit, has both models as diffusers folders, captions, settings that suit the \
      models' size, and distill.py, which needs PyTorch, diffusers and accelerate. It runs on one \
      GPU, on several machines, or for very small models on the CPU. Its page, README.md, has the \
      commands. The result is a diffusers folder; compare it with `decant verify`.

      The kit is complete, so that it can be copied to another machine. With --link it has symbolic \
      links to the models that are diffusers folders, which saves space on this machine.

      Example: decant distill sd-v1-5/ small/ -o kit/ --prompts captions.txt
      """)

  @Argument(help: "The model to learn from.", completion: .file())
  var teacher: String

  @Argument(
    help: "The model to train, such as one that `decant strip` made of the teacher.",
    completion: .file())
  var student: String

  @Option(
    name: [.short, .customLong("output")],
    help: ArgumentHelp("The folder to write.", valueName: "dir"), completion: .directory)
  var output: String

  @Option(
    help: ArgumentHelp(
      """
      Captions, of which the teacher makes the images to learn from: a text file with one per line, \
      or a JSON array (default: \(ownPromptCount) prompts of Decant's own, which are too few for \
      models of full size).
      """, valueName: "file"),
    completion: .file())
  var prompts: String?

  @Flag(help: "Link the models that are diffusers folders instead of copying them.")
  var link = false

  @Flag(help: "Replace an existing kit that has no results.")
  var force = false

  @OptionGroup var threads: ThreadArguments
  @OptionGroup var common: CommonArguments

  func job() -> DistillJob {
    DistillJob(
      teacher: teacher, student: student, prompts: prompts, output: output, isLinking: link,
      replacing: force)
  }

  func text(after outcome: DistillationKit) -> String {
    let scripts = [
      ["pip", "install", "-r", outcome.path("requirements.txt")],
      ["python", outcome.path("distill.py")],
    ].map { $0.map(\.quotedForShell).joined(separator: " ") }
    let comparison = commandLine([
      "verify", .path(teacher), .path(outcome.path("result")), "--report",
      .path(outcome.path("report")),
    ])
    return (["to train, then to compare:"] + (scripts + [comparison]).map { "  " + $0 })
      .joined(separator: "\n")
  }
}

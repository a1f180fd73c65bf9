internal import ArgumentParser
internal import Workflow

/// Options of every command.
struct CommonArguments: ParsableArguments {
  @Flag(
    name: .long,
    help: "Print no progress and no notes. Results and errors are printed nevertheless.")
  var quiet = false

  @Flag(
    name: .long, help: "Print all settings and the time of each stage on standard error.")
  var verbose = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  func validate() throws {
    if quiet, verbose { throw ValidationError("Give either --quiet or --verbose, not both.") }
  }
}

/// How a model is computed.
struct ComputeArguments: ParsableArguments {
  @OptionGroup var threads: ThreadArguments

  @Option(
    help: ArgumentHelp(
      "Arithmetic: float32, float32 without Winograd convolutions, or int8 weights and "
        + "activations.",
      valueName: "kind"),
    completion: .list(Compute.names))
  var compute: ComputeArgument = .f32
}

/// The number of threads.
struct ThreadArguments: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Number of threads, \(threadRange) (default: one per processor).", valueName: "n"))
  var threads: Int?

  func validate() throws {
    if let threads, !threadCounts.contains(threads) {
      throw ValidationError("--threads takes \(threadRange), not \(threads).")
    }
  }
}

private let threadRange = "\(threadCounts.lowerBound) to \(threadCounts.upperBound)"

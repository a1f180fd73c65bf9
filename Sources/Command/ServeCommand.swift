internal import ArgumentParser
private import Foundation
private import Studio
private import StudioServer
internal import Support
internal import Workflow

/// `decant serve`. Shows models in a browser and serves them to other programs.
struct ServeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Shows models in a browser, side by side, and serves A1111's and OpenAI's APIs.",
    discussion: """
      The models of the command line are the only files that are read. Ctrl-C stops the server. The \
      token can also be in the environment, as DECANT_TOKEN.

      Example: decant serve sd-v1-5/ small.decant
      Example: decant serve --family sd-v1-4,bk-sdm-base,bk-sdm-small,bk-sdm-tiny
      Example: decant serve small.decant --host 0.0.0.0 --token SECRET
      """)

  @Argument(help: modelHelp, completion: .file())
  var model: [String] = []

  @Option(
    help: ArgumentHelp(
      "Serve these families with random weights, to measure them: "
        + "\(familyNames.joined(separator: ", ")).",
      valueName: "name,…"),
    completion: .list(familyNames))
  var family: [String] = []

  @Option(
    help: ArgumentHelp(
      "The address to listen on. Other addresses than those of this machine alone need --token.",
      valueName: "address"))
  var host = StudioSettings.standardHost

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The port to listen on; 0 picks a free one.", valueName: "port"))
  var port = StudioSettings.standardPort

  @Option(
    help: ArgumentHelp(
      "A secret that every request must carry, as bearer token or as password.",
      valueName: "secret"))
  var token: String?

  @Option(
    help: ArgumentHelp(
      "Let pages of this origin call the APIs, such as https://example.org. Can be repeated.",
      valueName: "origin"))
  var allowOrigin: [String] = []

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The longest side of an image, in pixels.", valueName: "n"))
  var maxSide = StudioLimits().side

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The most steps of an image.", valueName: "n"))
  var maxSteps = StudioLimits().steps

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The most images of a request.", valueName: "n"))
  var maxCount = StudioLimits().images

  @OptionGroup var read: InputArguments
  @OptionGroup var compute: ComputeArguments
  @OptionGroup var common: CommonArguments

  func validate() throws {
    if model.isEmpty, family.isEmpty {
      throw ValidationError("Nothing to serve; give a MODEL or --family NAME.")
    }
    if !(0...Int(UInt16.max)).contains(port) {
      throw ValidationError("--port takes 0 to \(UInt16.max), not \(port).")
    }
    try requirePositive([
      ("--max-side", maxSide), ("--max-steps", maxSteps), ("--max-count", maxCount),
    ])
  }

  func run() async throws {
    let printer = ProgressPrinter(quiet: common.quiet, verbose: common.verbose)
    defer { printer.finish() }
    printer.showSettings(Self.settings.filter { !$0.hasPrefix("  --token ") })
    try await serve(printer)
  }

  #if Server
    private func serve(_ printer: ProgressPrinter) async throws {
      try checkInstructionSet(ProcessInfo.processInfo.environment["DECANT_SIMD"])
      let settings = try settings
      var models: [StudioModel] = []
      for session in try sessions {
        let known = models.map(\.name)
        models.append(try await StudioModel(session, besides: known) { printer.show($0) })
      }
      printer.finish()
      let names = models.map(\.name)
      let service = StudioService(models: models, settings: settings, bench: bench)
      do {
        try await StudioServer(service, settings: settings).run { port in
          // A stream that is closed is no reason to stop.
          try? StandardStreams.printResult(started(port, names))
        }
      } catch is CancellationError {
        // A signal is how a server ends.
        if !common.quiet { printError("decant: stopped") }
      }
    }

    private var settings: StudioSettings {
      get throws {
        var limits = StudioLimits()
        (limits.side, limits.steps, limits.images) = (maxSide, maxSteps, maxCount)
        let machine = try? String(contentsOfFile: "/proc/sys/kernel/hostname", encoding: .utf8)
        return try StudioSettings(
          host: host, port: port,
          token: token ?? ProcessInfo.processInfo.environment["DECANT_TOKEN"],
          allowedOrigins: allowOrigin, limits: limits,
          machineName: machine?.trimmingCharacters(in: .whitespacesAndNewlines))
      }
    }

    /// The models of the command line, then those of families.
    private var sessions: [ModelSession] {
      get throws {
        let settings =
          try compute.threads.threads.map {
            try ComputeSettings(threads: $0, compute: compute.compute.value)
          } ?? ComputeSettings(compute: compute.compute.value)
        return model.map { ModelSession(path: $0, reading: read.value, settings: settings) }
          + commaSeparated(family).map { ModelSession(family: $0, settings: settings) }
      }
    }

    /// Measures models with `decant bench`, each in a process of its own.
    private var bench: BenchRunner {
      let (paths, families) = (model, commaSeparated(family))
      let (reading, kind, count) = (read.read.value, compute.compute.value, compute.threads.threads)
      let given = Self.given(read.read.given + ["--threads"])
      return { work, events in
        let job = BenchJob(
          models: work.models.filter { $0 < paths.count }.map { paths[$0] },
          families: work.models.filter { $0 >= paths.count }.map { families[$0 - paths.count] },
          reading: reading, computes: [kind], steps: work.steps, size: work.size,
          guidanceScale: work.guidanceScale, profiles: false, kernels: false,
          childArguments: { measurement in
            var arguments = [
              "bench", "--json", "--quiet", "--compute", kind.name, "--steps", "\(work.steps)",
              "--guidance-scale", "\(work.guidanceScale)",
            ]
            if let size = work.size { arguments += ["--size", "\(size)"] }
            switch measurement.subject {
            case .model(let path): return arguments + given + ["--", path]
            case .family(let name): return arguments + given + ["--family", name]
            }
          }, isolates: true)
        return try await job.run(threads: count, events).json
      }
    }

    /// What is printed once clients can connect.
    private func started(_ port: Int, _ names: [String]) -> String {
      let address = host.contains(":") && !host.hasPrefix("[") ? "[\(host)]" : host
      let url = "http://\(address):\(port)/"
      if common.json {
        let facts: JSONValue = [
          "url": .string(url), "host": .string(host), "port": .integer(port),
          "models": .strings(names),
        ]
        return facts.text(indent: 2)
      }
      return "open \(url) in a browser; it serves \(listed(names)). Ctrl-C stops it."
    }
  #else
    private func serve(_ printer: ProgressPrinter) async throws {
      throw JobError(
        "this program was built without the server",
        remedy: .act("build it with `swift build -c release --traits Server`"))
    }
  #endif
}

private import Checkpoints
private import Foundation
internal import Kernels
internal import ModelSources
private import Models
private import Sampling
package import Support
private import Synchronization
internal import Tensors

/// Measures models: seconds per step and per image, and peak memory.
///
/// The peak memory of a process never falls below what earlier models left behind. A job with more
/// than one measurement therefore runs each in a child process.
package struct BenchJob: Job {
  /// One model in one arithmetic.
  package struct Measurement: Sendable {
    package enum Subject: Sendable {
      /// The path of a model.
      case model(String)
      /// The name of a family, whose model gets random weights.
      case family(String)
    }

    package let subject: Subject
    package let compute: Compute

    fileprivate var name: String {
      switch subject {
      case .model(let path): PathParts(path).name
      case .family(let name): name
      }
    }
  }

  private let measurements: [Measurement]
  private let reading: InputOptions
  private let steps: Int
  private let size: ImageSize?
  private let guidanceScale: Double
  private let profiles: Bool
  private let kernels: Bool
  private let childArguments: (@Sendable (Measurement) -> [String])?
  private let isolates: Bool

  /// - Parameters:
  ///   - families: names of families to measure with random weights.
  ///   - computes: the arithmetics to measure each model in.
  ///   - profiles: whether to measure the time of each operation and block.
  ///   - kernels: whether to time single operations too.
  ///   - childArguments: arguments with which this program does one measurement and prints its
  ///     JSON; `nil` does all measurements in this process.
  ///   - isolates: whether a single measurement has a child process too, because this process holds
  ///     models already.
  package init(
    models: [String], families: [String], reading: InputOptions, computes: [Compute], steps: Int,
    size: ImageSize?, guidanceScale: Double, profiles: Bool, kernels: Bool,
    childArguments: (@Sendable (Measurement) -> [String])? = nil, isolates: Bool = false
  ) {
    self.isolates = isolates
    let subjects = models.map(Measurement.Subject.model) + families.map(Measurement.Subject.family)
    measurements = subjects.flatMap { subject in
      computes.map { Measurement(subject: subject, compute: $0) }
    }
    self.reading = reading
    self.steps = steps
    self.size = size
    self.guidanceScale = guidanceScale
    self.profiles = profiles
    self.kernels = kernels
    self.childArguments = childArguments
  }

  package func perform(_ events: @escaping EventSink) async throws -> BenchResults {
    // A wrong name is refused before the first model is measured.
    for measurement in measurements {
      switch measurement.subject {
      case .model(let path): _ = try Layouts.readers.reader(for: path)
      case .family(let family):
        _ = try syntheticModel(family: family, seed: 0, type: defaultRandomType)
      }
    }
    var rows: [JSONObject] = []
    var kernelRows: [KernelBench.Row] = []
    var codingRows: [CodingBench.Row] = []
    if kernels {
      events(.stage(.measuringKernels))
      kernelRows = try KernelBench.run { events(.progress(done: $0, total: $1)) }
      events(.stage(.measuringCoding))
      codingRows = try CodingBench.run()
    }
    for measurement in measurements {
      if let childArguments, measurements.count > 1 || kernels || isolates {
        events(.stage(.measuring(model: measurement.name, compute: measurement.compute)))
        rows.append(try await child(childArguments(measurement), of: measurement.name))
      } else {
        rows.append(try measure(measurement, events))
      }
    }
    return BenchResults(models: rows, kernels: kernelRows, coding: codingRows)
  }

  /// Does a measurement in a child process.
  private func child(_ arguments: [String], of name: String) async throws -> JSONObject {
    let output = try await outputOfChild(arguments)
    guard let results = try? JSONValue(parsing: output),
      let row = results.object?["models"]?.array?.first?.object
    else { throw JobError("the process that measured \(name) printed no measurements") }
    return row
  }

  /// Does a measurement in this process.
  private func measure(_ measurement: Measurement, _ events: EventSink) throws -> JSONObject {
    let name = measurement.name
    events(.stage(.loading(name)))
    resetPeakMemory()
    let source: ModelSource
    var fileBytes: Int?
    switch measurement.subject {
    case .model(let path):
      source = try ModelSource.reading(path, reading)
      fileBytes = bytesOnDisk(path)
    case .family(let family):
      source = try syntheticModel(family: family, seed: 0, type: defaultRandomType)
    }
    let model = try Model.bind(source)
    var request = SamplingRequest(prompt: "a photo of a cat")
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.setSize(self.size)
    try model.check(request)
    try model.checkMemory(for: request, images: request.count)
    let sampler = try Sampler(model, arithmetic: measurement.compute.arithmetic)
    let size = sampler.size(for: request)
    events(.stage(.measuring(model: name, compute: nil)))
    let clock = StepClock()
    let start = ContinuousClock.now
    func generate() throws {
      _ = try sampler.generate(request, observer: clock) { done, total in
        events(.progress(done: done, total: total))
      }
    }
    var profile: Profile.Findings?
    if profiles { profile = try Profile.measure(generate) } else { try generate() }
    let whole = ContinuousClock.now - start
    let (wall, processor) = clock.perStep
    let parameters = source.components.reduce(0) { $0 + $1.weights.parameterCount }
    var row: JSONObject = [
      "name": .string(name), "family": .string(model.family.name),
      "compute": .string(measurement.compute.name), "threads": .integer(Threads.count),
      "parameters": .integer(parameters), "file_bytes": fileBytes.map { .integer($0) } ?? .null,
      "width": .integer(size.width), "height": .integer(size.height), "steps": .integer(steps),
      "seconds_per_step": .number(wall), "cpu_seconds_per_step": .number(processor),
      "seconds_per_picture": .number(whole.seconds), "peak_bytes": .integer(peakMemory() ?? 0),
    ]
    row["profile"] = profile?.json
    return row
  }
}

/// Times the sampler's steps. The first step also reads the weights from disk.
private final class StepClock: SamplingObserver {
  private struct Mark {
    let wall: ContinuousClock.Instant
    let processor: Double
  }

  private let marks = Mutex<[Mark]>([])

  init() { mark() }

  func didStep(_ step: SamplingStep) { mark() }

  private func mark() {
    let mark = Mark(wall: .now, processor: processorSeconds())
    marks.withLock { $0.append(mark) }
  }

  /// Wall-clock seconds and processor seconds per step, without the first step if there are others.
  var perStep: (wall: Double, processor: Double) {
    let all = marks.withLock { $0 }
    // The start, then the end of each step.
    let used = all.count > 2 ? Array(all.dropFirst()) : all
    let steps = Double(max(1, used.count - 1))
    return (
      (used[used.count - 1].wall - used[0].wall).seconds / steps,
      (used[used.count - 1].processor - used[0].processor) / steps
    )
  }
}

extension Profile.Findings {
  fileprivate var json: JSONValue {
    func shares(_ shares: [Profile.Share]) -> JSONValue {
      .array(
        shares.map { share in
          var members: JSONObject = [
            "name": .string(share.name), "calls": .integer(share.calls),
            "seconds": .number(share.seconds),
          ]
          if share.processorSeconds > 0 {
            members["cpu_seconds"] = .number(share.processorSeconds)
          }
          if share.products > 0 { members["products"] = .number(share.products) }
          return .object(members)
        })
    }
    return [
      "seconds": .number(seconds), "operations": shares(operations), "blocks": shares(blocks),
    ]
  }
}

/// The processor's name and the number of processors.
func machineName() -> String {
  let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
  let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
  let name = line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) }
  return
    "\(name ?? "unknown processor"), \(ProcessInfo.processInfo.activeProcessorCount) processors"
}

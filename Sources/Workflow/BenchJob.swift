private import Foundation
internal import Kernels
internal import ModelSources
private import Models
private import Sampling
package import Support
private import Synchronization
internal import Tensors

/// Measures models side by side. It prints and asserts nothing: machines are noisy.
package struct BenchJob: Job {
  private let models: [String]
  private let families: [String]
  private let reading: InputOptions
  private let computes: [Compute]
  private let steps: Int
  private let size: ImageSize?
  private let guidanceScale: Double
  private let profiles: Bool
  private let kernels: Bool

  /// - Parameters:
  ///   - families: families that are measured with random weights, made for the purpose.
  ///   - profiles: whether to tell where the time goes.
  ///   - kernels: whether to time single operations too, on shapes of their own.
  package init(
    models: [String], families: [String], reading: InputOptions, computes: [Compute], steps: Int,
    size: ImageSize?,
    guidanceScale: Double, profiles: Bool, kernels: Bool
  ) {
    self.models = models
    self.families = families
    self.reading = reading
    self.computes = computes
    self.steps = steps
    self.size = size
    self.guidanceScale = guidanceScale
    self.profiles = profiles
    self.kernels = kernels
  }

  package func run(_ events: @escaping EventSink) async throws -> BenchResults {
    var results: [BenchResults.Row] = []
    var kernelRows: [KernelBench.Row] = []
    var codingRows: [CodingBench.Row] = []
    if kernels {
      events(.stage("measuring kernels"))
      kernelRows = try KernelBench.run { events(.progress(done: $0, total: $1)) }
      events(.stage("measuring lossless coding"))
      codingRows = try CodingBench.run()
    }
    for path in models {
      let source = try ModelSource.reading(path, reading)
      for compute in computes {
        results.append(
          try measure(lastPathComponent(path), source, bytesOnDisk(path), compute, events))
      }
    }
    for family in families {
      let source = try syntheticModel(family: family, seed: 0, type: "f32")
      for compute in computes {
        results.append(try measure(family, source, nil, compute, events))
      }
    }
    return BenchResults(rows: results, kernels: kernelRows, coding: codingRows)
  }

  private func measure(
    _ name: String, _ source: ModelSource, _ fileBytes: Int?, _ compute: Compute,
    _ events: EventSink
  ) throws -> BenchResults.Row {
    events(.stage("loading \(name)"))
    resetPeakMemory()
    let model = try Model.bind(source)
    var request = SamplingRequest(prompt: "a photo of a cat")
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.width = size?.width
    request.height = size?.height
    try model.check(request)
    let sampler = try Sampler(model, arithmetic: compute.arithmetic)
    let (width, height) = sampler.size(for: request)
    events(.stage("measuring \(name)"))
    let clock = StepClock()
    let start = ContinuousClock.now
    if profiles { Profile.start() }
    _ = try sampler.generate(request, observer: clock) { done, total in
      events(.progress(done: done, total: total))
    }
    let whole = ContinuousClock.now - start
    let profile = profiles ? Profile.finish() : nil
    let (wall, processor) = clock.perStep
    return BenchResults.Row(
      name: name, family: model.family.name, compute: compute.name, threads: Threads.count,
      parameters: source.components.reduce(0) { $0 + $1.weights.parameterCount },
      fileBytes: fileBytes, size: ImageSize(width: width, height: height), steps: steps,
      secondsPerStep: wall,
      cpuSecondsPerStep: processor, secondsPerPicture: whole.seconds, peakBytes: peakMemory(),
      profile: profile)
  }
}

/// Times steps of the sampler, the first one apart: it reads the weights from the disk.
private final class StepClock: SamplingObserver {
  private struct Mark {
    let wall: ContinuousClock.Instant
    let processor: Double
  }

  private let marks = Mutex<[Mark]>([])

  func didStep(_ step: SamplingStep) { note() }

  private func note() {
    let mark = Mark(wall: .now, processor: processorSeconds())
    marks.withLock { $0.append(mark) }
  }

  init() { note() }

  /// Seconds of a step by the wall and of all processors, without the first step where there are
  /// others.
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

/// The most memory that the process held at once since ``resetPeakMemory()``, in bytes.
private func peakMemory() -> Int {
  guard let status = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else {
    return 0
  }
  let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
  return (line?.split(whereSeparator: \.isWhitespace).dropFirst().first).flatMap { Int($0) }
    .map { $0 * 1024 } ?? 0
}

/// Lets the kernel count the peak anew, so that models measured one after another stand apart.
private func resetPeakMemory() {
  try? "5".write(toFile: "/proc/self/clear_refs", atomically: false, encoding: .utf8)
}

/// Figures of several models, measured in one run.
package struct BenchResults: JobOutcome {
  struct Row: Sendable {
    let name: String
    let family: String
    let compute: String
    let threads: Int
    let parameters: Int
    let fileBytes: Int?
    let size: ImageSize
    let steps: Int
    let secondsPerStep: Double
    let cpuSecondsPerStep: Double
    let secondsPerPicture: Double
    let peakBytes: Int
    let profile: Profile.Findings?
  }

  let rows: [Row]
  let kernels: [KernelBench.Row]
  let coding: [CodingBench.Row]

  package var json: JSONValue {
    var members: JSONObject = [
      "machine": .string(machineName()),
      "models": .array(
        rows.map { row in
          var members: JSONObject = [
            "name": .string(row.name), "family": .string(row.family),
            "compute": .string(row.compute),
            "threads": .integer(row.threads), "parameters": .integer(row.parameters),
            "file_bytes": row.fileBytes.map { .integer($0) } ?? .null,
            "width": .integer(row.size.width), "height": .integer(row.size.height),
            "steps": .integer(row.steps),
            "seconds_per_step": .number(row.secondsPerStep),
            "cpu_seconds_per_step": .number(row.cpuSecondsPerStep),
            "seconds_per_picture": .number(row.secondsPerPicture),
            "peak_bytes": .integer(row.peakBytes),
          ]
          members["profile"] = row.profile?.json
          return .object(members)
        }),
    ]
    if !kernels.isEmpty {
      members["kernels"] = .array(
        kernels.map { row in
          [
            "name": .string(row.name), "compute": .string(row.compute),
            "seconds": .number(row.seconds), "products_per_second": .number(row.rate),
            "share_of_peak": .number(row.shareOfPeak),
          ]
        })
    }
    if !coding.isEmpty {
      members["coding"] = .array(
        coding.map { row in
          [
            "name": .string(row.name),
            "bytes_encoded_per_second": .number(row.bytesEncodedPerSecond),
            "bytes_decoded_per_second": .number(row.bytesDecodedPerSecond),
            "share": .number(row.share),
          ]
        })
    }
    return .object(members)
  }

  package var text: String {
    var lines = [
      [
        "model", "family", "compute", "size", "parameters", "file", "s/step", "CPU s/step",
        "s/picture",
        "peak memory",
      ]
    ]
    for row in rows {
      lines.append([
        row.name, row.family, row.compute, "\(row.size)",
        formatted(count: row.parameters), row.fileBytes.map(formatted(bytes:)) ?? "-",
        formatted(row.secondsPerStep, digits: 3), formatted(row.cpuSecondsPerStep, digits: 3),
        formatted(row.secondsPerPicture, digits: 3), formatted(bytes: row.peakBytes),
      ])
    }
    let profiles = rows.compactMap { row in
      row.profile.map { "\n\(row.name), \(row.compute)\n" + $0.text }
    }
    var parts = [machineName()]
    if !rows.isEmpty { parts.append(table(lines, rightAligned: Set(3...9))) }
    if !kernels.isEmpty {
      let lines = kernels.map { row in
        [
          row.name, row.compute, formatted(1000 * row.seconds, digits: 3),
          formatted(2e-9 * row.rate, digits: 3),
          formatted(100 * row.shareOfPeak, digits: 3) + " %",
        ]
      }
      parts.append(
        table(
          [["operation", "compute", "ms", "GFLOP/s", "of the peak"]] + lines,
          rightAligned: Set(2...4)))
    }
    if !coding.isEmpty {
      let lines = coding.map { row in
        [
          row.name, formatted(1e-6 * row.bytesEncodedPerSecond, digits: 3),
          formatted(1e-6 * row.bytesDecodedPerSecond, digits: 3),
          formatted(100 * row.share, digits: 3) + " %",
        ]
      }
      parts.append(
        "\n"
          + table(
            [["lossless coding", "encoding, MB/s", "decoding, MB/s", "in the file"]] + lines,
            rightAligned: Set(1...3)))
    }
    return (parts + profiles).joined(separator: "\n")
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

  fileprivate var text: String {
    func lines(_ title: String, _ shares: [Profile.Share]) -> String {
      var rows = [[title, "calls", "seconds", "share", "GFLOP/s"]]
      for share in shares {
        let rate = 2e-9 * share.products / share.seconds
        rows.append([
          share.name, share.calls == 0 ? "-" : "\(share.calls)",
          formatted(share.seconds, digits: 3),
          formatted(100 * share.seconds / seconds, digits: 3) + " %",
          share.products > 0 ? formatted(rate, digits: 3) : "-",
        ])
      }
      return table(rows, rightAligned: Set(1...4))
    }
    return lines("operation", operations.sorted { $0.seconds > $1.seconds }) + "\n\n"
      + lines("block", blocks)
  }
}

/// The processor's name and how many there are.
func machineName() -> String {
  let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
  let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
  let name = line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) }
  return
    "\(name ?? "unknown processor"), \(ProcessInfo.processInfo.activeProcessorCount) processors"
}

private import Calibration
internal import ModelSources
internal import Models
private import Quantization
internal import Sampling
package import Support
internal import Tensors
internal import Verification

/// A verification, as a user says it.
package struct VerificationRequest: RunRequest, Sendable {
  /// A file with a prompt a line; `nil` is Decant's own list.
  package var promptsPath: String?
  /// Use only so many prompts.
  package var promptLimit: Int?
  /// Leave out so many prompts first: those that a calibration has seen.
  package var promptsSkipped: Int
  package var steps: Int
  /// Pictures a prompt, with seeds 0, 1, ….
  package var seeds: Int
  package var guidanceScale: Double
  /// A scheduler's name; `nil` is the reference's own.
  package var scheduler: String?
  package var size: ImageSize?
  /// Whether the reference in fp16 and in plainly rounded int8 is measured beside the candidate.
  package var hasBaselines: Bool
  /// How the candidate computes, and its baselines.
  package var compute: Compute
  /// How the reference computes.
  package var referenceCompute: Compute
  /// Least PSNR of any picture, in decibels; `nil` asks for nothing, here and below.
  package var minimumPSNR: Double?
  /// Least SSIM of any picture.
  package var minimumSSIM: Double?
  /// Largest relative error of the final latents of any picture.
  package var maximumLatentError: Double?
  /// Largest relative error of a noise prediction on the reference's trajectory.
  package var maximumStepError: Double?

  package static let standard = VerificationRequest(
    promptsPath: nil, promptLimit: 2, promptsSkipped: 0, steps: 20, seeds: 1, guidanceScale: 7.5,
    scheduler: nil, size: nil, hasBaselines: true,
    compute: .f32, referenceCompute: .f32)

  fileprivate var thresholds: VerificationThresholds {
    VerificationThresholds(
      minimumPSNR: minimumPSNR, minimumSSIM: minimumSSIM, maximumLatentError: maximumLatentError,
      maximumStepError: maximumStepError)
  }

  /// A request of the sampler with these numbers, to be judged before anything is read.
  var sampling: SamplingRequest {
    var sampling = SamplingRequest(prompt: "")
    sampling.steps = steps
    sampling.guidanceScale = guidanceScale
    sampling.scheduler = scheduler
    (sampling.width, sampling.height) = (size?.width, size?.height)
    return sampling
  }

  /// The prompts; when all were to be left out, the last ones of the list all the same.
  var prompts: [Prompt] {
    get throws {
      let all = try [Prompt](path: promptsPath)
      let skipped = min(promptsSkipped, max(0, all.count - (promptLimit ?? 1)))
      return Array(all.dropFirst(skipped).prefix(promptLimit ?? all.count))
    }
  }
}

/// Compares a candidate with its reference and writes the report.
package struct VerifyJob: Job {
  private let reference: String
  private let candidate: String
  private let reading: InputOptions
  private let request: VerificationRequest
  private let report: String?
  private let replacing: Bool

  /// - Parameter report: the folder for `report.json` and `index.html`; `nil` writes none.
  package init(
    reference: String, candidate: String, reading: InputOptions, request: VerificationRequest,
    report: String?, replacing: Bool
  ) {
    self.reference = reference
    self.candidate = candidate
    self.reading = reading
    self.request = request
    self.report = report
    self.replacing = replacing
  }

  package func run(_ events: @escaping EventSink) async throws -> VerificationOutcome {
    if let report {
      try refuseReport(report, replacing: replacing, inputs: [reference, candidate])
    }
    events(.stage("reading \(reference) and \(candidate)"))
    let original = try ModelSource.reading(reference, reading)
    let other = try ModelSource.reading(candidate, reading)
    let result = try verify(original, other, request, events)
    if let report { try result.write(to: report, replacing: replacing) }
    return VerificationOutcome(report: result, path: report)
  }
}

/// Compares two models that were read from files.
func verify(
  _ reference: ModelSource, _ candidate: ModelSource, _ request: VerificationRequest,
  _ events: EventSink
) throws -> VerificationReport {
  let settings = VerificationSettings(
    prompts: try request.prompts, seeds: (0..<request.seeds).map { UInt64($0) },
    steps: request.steps, guidanceScale: request.guidanceScale, scheduler: request.scheduler,
    width: request.size?.width, height: request.size?.height)
  let verifier = Verifier(
    settings: settings, thresholds: request.thresholds, tool: "decant \(toolVersion)",
    machine: "\(machineName()), \(counted(Threads.count, "thread"))")
  func subject(_ source: ModelSource, _ compute: Compute) throws -> Verifier.Subject {
    Verifier.Subject(
      name: lastPathComponent(source.location), model: try Model.bind(source),
      fileBytes: bytesOnDisk(source.location), arithmetic: compute.arithmetic)
  }
  let bound = try Model.bind(reference)
  try bound.check(request.sampling)
  try noteCuts(settings.prompts.texts, of: bound, events)
  let baselines =
    request.hasBaselines ? try plainBaselines(of: reference, request.compute) : []
  let original = try subject(reference, request.referenceCompute)
  let other = try subject(candidate, request.compute)
  events(.stage("verifying \(other.name) against \(original.name)"))
  return try verifier.verify(reference: original, candidate: other, baselines: baselines) {
    events(.progress(done: $0, total: $1))
  }
}

/// The reference made small without any care: what a candidate must be better than to be worth it.
private func plainBaselines(
  of reference: ModelSource, _ compute: Compute
) throws -> [Verifier.Subject] {
  // A reference that is quantized itself has no plain baseline.
  let entries = reference.components.flatMap { component in
    component.weights.names.compactMap(component.weights.entry)
  }
  if entries.contains(where: \.encoding.isQuantized) { return [] }
  return try [("f16", "fp16"), ("int8", "int8, plain rounding")].map { type, name in
    let request = QuantizationRequest(type: type, method: "round")
    let quantized = try QuantizedModel(reference, request, calibration: nil)
    return Verifier.Subject(
      name: name, model: try Model.bind(quantized.model), arithmetic: compute.arithmetic)
  }
}

/// What a verification found.
package struct VerificationOutcome: JobOutcome {
  let report: VerificationReport
  /// Where the report was written.
  let path: String?

  /// - Throws: ``CheckNotMet`` that tells each threshold that is not met.
  package func check() throws {
    let unmet = report.checks.filter { !$0.isMet }
    if unmet.isEmpty { return }
    throw CheckNotMet(
      "not good enough: "
        + unmet.map { check in
          let measured = check.measured.map { formatted($0, digits: 4) } ?? "not measurable"
          return "\(check.title) is \(measured)\(check.unit), "
            + "at \(check.side == .least ? "least" : "most") "
            + "\(formatted(check.limit, digits: 4))\(check.unit) is asked for (--\(check.name))"
        }.joined(separator: "; "))
  }

  /// What a `.decant` file keeps of it: the figures, without pictures and tensors.
  var record: JSONObject {
    let whole = report.json
    var record: JSONObject = [:]
    for name in ["tool", "machine", "settings", "thresholds", "met"] { record[name] = whole[name] }
    record["results"] = .array(
      report.compared.enumerated().map { index, subject in
        ["name": .string(subject.name), "summary": report.summary(of: index).json]
      })
    return record
  }

  package var json: JSONValue {
    var object = report.json
    if let path { object["report"] = .string(path) }
    return .object(object)
  }

  package var text: String {
    var rows = [
      ["", "", "PSNR", "PSNR", "SSIM", "latent", "step", "step"],
      ["model", "weights", "least", "mean", "least", "error", "mean", "worst"],
    ]
    for (index, subject) in report.compared.enumerated() {
      let summary = report.summary(of: index)
      rows.append([
        subject.name, formatted(bytes: subject.bytes),
        summary.leastPSNR == .infinity ? "identical" : cell(summary.leastPSNR, digits: 4),
        summary.meanPSNR == .infinity ? "-" : cell(summary.meanPSNR, digits: 4),
        summary.leastSSIM.map { cell($0, digits: 4) } ?? "-",
        cell(summary.worstLatentError, digits: 3), cell(summary.meanPredictionError, digits: 3),
        cell(summary.worstPredictionError, digits: 3),
      ])
    }
    let size = "\(report.settings.width ?? 0)x\(report.settings.height ?? 0)"
    var lines = [
      "\(counted(report.images.count, "image")) of \(size), "
        + "\(counted(report.settings.steps, "step"))",
      "reference: \(report.reference.name), \(formatted(bytes: report.reference.bytes))",
      table(rows, rightAligned: Set(1...7), width: 80),
      "PSNR in dB; latent and step errors are relative to the reference",
    ]
    for check in report.checks where check.isMet {
      lines.append("met: \(check.title), --\(check.name) \(formatted(check.limit, digits: 4))")
    }
    if let path { lines.append("report: \(path)/index.html") }
    return lines.joined(separator: "\n")
  }

  /// A figure in at most 9 characters.
  private func cell(_ value: Double, digits: Int) -> String {
    value.isNaN ? "NaN" : formatted(value, digits: digits)
  }
}

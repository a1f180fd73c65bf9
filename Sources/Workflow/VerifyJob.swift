private import Calibration
internal import ModelSources
internal import Models
private import Quantization
internal import Sampling
package import Support
internal import Tensors
internal import Verification

/// The user's settings of a verification.
package struct VerificationRequest: RunRequest, Sendable {
  /// A file with one prompt per line, or a JSON array; `nil` is Decant's own list.
  package var promptsPath: String?
  /// The prompts of ``promptsPath``, once they are read.
  private var allPrompts: [Prompt]?
  /// The number of prompts to use; `nil` is all.
  package var promptLimit: Int?
  package let limitsPromptFiles: Bool
  /// Prompts to avoid: those that a calibration used.
  package var promptsExcluded: Set<String>
  package var steps: Int
  /// Images per prompt, with seeds 0, 1, ….
  package var seeds: Int
  package var guidanceScale: Double
  /// A scheduler's name; `nil` is the reference's own.
  package var scheduler: String?
  package var size: ImageSize?
  /// Whether the reference in fp16 and in int8 by round to nearest is measured for comparison.
  package var hasBaselines: Bool
  /// The arithmetic of the candidate and the baselines.
  package var compute: Compute
  /// The arithmetic of the reference.
  package var referenceCompute: Compute
  /// The least PSNR of any image, in decibels. For this and the following thresholds, `nil` sets
  /// none.
  package var minimumPSNR: Double?
  /// The least SSIM of any image.
  package var minimumSSIM: Double?
  /// The largest relative error of the final latents of any image.
  package var maximumLatentError: Double?
  /// The largest relative error of a noise prediction on the reference's trajectory.
  package var maximumStepError: Double?

  package static let standard = VerificationRequest(
    promptsPath: nil, promptLimit: 2, limitsPromptFiles: false, promptsExcluded: [],
    steps: SamplingRequest.standardRunSteps, seeds: 1,
    guidanceScale: SamplingRequest.standardGuidanceScale, scheduler: nil, size: nil,
    hasBaselines: true, compute: .f32, referenceCompute: .f32)

  fileprivate var thresholds: VerificationThresholds {
    VerificationThresholds(
      minimumPSNR: minimumPSNR, minimumSSIM: minimumSSIM, maximumLatentError: maximumLatentError,
      maximumStepError: maximumStepError)
  }

  /// A sampler's request with these settings, to check before any weights are read.
  var sampling: SamplingRequest {
    var sampling = SamplingRequest(prompt: "")
    sampling.steps = steps
    sampling.guidanceScale = guidanceScale
    sampling.scheduler = scheduler
    sampling.setSize(size)
    return sampling
  }

  /// Refuses images that take more memory than the process can get.
  ///
  /// - Throws: ``MemoryError``, or an error of the prompts.
  func checkMemory(for reference: Model) throws {
    try reference.checkMemory(for: sampling, images: 2 * (try prompts.count) * seeds)
  }

  /// Refuses a report whose images may not fit on its disk.
  ///
  /// - Throws: ``DiskSpaceError``, or an error of the prompts.
  func checkSpace(forReport path: String, of reference: Model) throws {
    try requireSpace(
      VerificationReport.mostImageBytes(
        pairs: try prompts.count * seeds, models: 1 + baselines(of: reference.source).count,
        size: reference.size(for: sampling)), for: path, isMost: true)
  }

  /// What the candidate should improve on: the reference in these schemes, rounded to nearest. A
  /// quantized reference has no baselines.
  fileprivate func baselines(
    of reference: ModelSource
  ) -> [(name: String, scheme: any Scheme)] {
    if !hasBaselines || reference.components.contains(where: \.weights.hasQuantizedTensors) {
      return []
    }
    return [("fp16", Schemes.half), ("int8 (round)", Schemes.int8)]
  }

  /// Reads the prompts once, because a pipe cannot be read again. Without a file of its own, the
  /// verification uses the prompts of the calibration.
  mutating func readPrompts(else calibration: CalibrationRequest? = nil) throws {
    if promptsPath == nil, let calibration {
      (promptsPath, allPrompts) = (calibration.promptsPath, calibration.allPrompts)
    } else {
      allPrompts = try [Prompt](path: promptsPath)
    }
  }

  /// The prompts, without ``promptsExcluded``. If too few others are left, the last prompts of the
  /// list are used as well.
  var prompts: [Prompt] {
    get throws {
      let all = try allPrompts ?? [Prompt](path: promptsPath)
      let others = all.filter { !promptsExcluded.contains($0.prompt) }
      let excluded = all.filter { promptsExcluded.contains($0.prompt) }
      guard let promptLimit else { return others.isEmpty ? all : others }
      return Array(others.prefix(promptLimit)) + excluded.suffix(max(0, promptLimit - others.count))
    }
  }
}

/// Compares a candidate model with its reference and writes the report.
package struct VerifyJob: Job {
  private let reference: String
  private let candidate: String
  private let reading: InputOptions
  private let request: VerificationRequest
  private let report: String?
  private let replacing: Bool

  /// - Parameter report: the folder for `report.json` and `index.html`; `nil` writes no report.
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

  package func perform(_ events: @escaping EventSink) async throws -> VerificationOutcome {
    if let report {
      try refuseReport(report, replacing: replacing, inputs: [reference, candidate])
    }
    events(.stage(.reading([reference, candidate])))
    let original = try ModelSource.reading(reference, reading, events)
    let other = try ModelSource.reading(candidate, reading, events).completed(
      by: original, events)
    var request = request
    try request.readPrompts()
    let result = try verify(original, other, request, report: report, events)
    return VerificationOutcome(result, report: report, replacing: replacing)
  }
}

/// Compares a candidate with its reference.
///
/// - Parameters:
///   - candidateBytes: the size of the candidate's files; `nil` measures those at its location.
///   - report: where a report will be written, whose space is checked first.
/// - Throws: ``PromptFileError`` or another error of the prompts, ``BindingError``,
///   ``VerificationError`` for models that cannot be compared, ``DiskSpaceError``, an error of the
///   sampler or of the weights' source, or `CancellationError`.
func verify(
  _ reference: ModelSource, _ candidate: ModelSource, _ request: VerificationRequest,
  candidateBytes: Int? = nil, report: String? = nil, _ events: EventSink
) throws -> VerificationReport {
  let settings = VerificationSettings(
    prompts: try request.prompts, seeds: (0..<request.seeds).map { UInt64($0) },
    steps: request.steps, guidanceScale: request.guidanceScale, scheduler: request.scheduler,
    size: request.size)
  let verifier = Verifier(
    settings: settings, thresholds: request.thresholds, tool: "decant \(toolVersion)",
    machine: "\(machineName()), \(counted(Threads.count, "thread"))")
  func subject(
    _ source: ModelSource, bytes: Int? = nil, _ compute: Compute
  ) throws -> Verifier.Subject {
    Verifier.Subject(
      name: PathParts(source.location).name, model: try Model.bind(source),
      fileBytes: bytes ?? bytesOnDisk(of: source), arithmetic: compute.arithmetic)
  }
  let original = try subject(reference, request.referenceCompute)
  try original.model.check(request.sampling)
  try request.checkMemory(for: original.model)
  let other = try subject(candidate, bytes: candidateBytes, request.compute)
  // The baselines read weights, so the models are compared first.
  try verifier.checkComparable(other, with: original)
  if let report { try request.checkSpace(forReport: report, of: original.model) }
  try noteTruncation(of: settings.prompts.texts, by: original.model, events)
  let baselines = try request.baselines(of: reference).map { name, scheme in
    let request = QuantizationRequest(type: scheme.name, method: RoundingMethods.nearest.name)
    return Verifier.Subject(
      name: name, model: try Model.bind(try QuantizedModel(reference, request).model),
      arithmetic: other.arithmetic)
  }
  events(.stage(.verifying(candidate: other.name, reference: original.name)))
  return try verifier.verify(reference: original, candidate: other, baselines: baselines) {
    events(.progress(done: $0, total: $1))
  }
}

extension VerificationReport {
  /// The part that a `.decant` file keeps: the measurements, without images and tensors.
  var record: JSONObject {
    let whole = json
    var record: JSONObject = [:]
    for name in ["tool", "machine", "settings", "thresholds", "met"] { record[name] = whole[name] }
    record["results"] = .array(
      compared.enumerated().map { index, subject in
        ["name": .string(subject.name), "summary": summary(of: index).json]
      })
    return record
  }
}

/// The result of a verification.
package struct VerificationOutcome: JobOutcome {
  let report: VerificationReport
  /// The folder of the report; `nil` when none was written.
  let path: String?
  /// Why the report could not be written.
  private let fault: (any Error)?

  /// Writes the report, where `path` is one. An error of this is thrown by ``check()``, after a
  /// client has shown the results.
  init(_ report: VerificationReport, report path: String?, replacing: Bool) {
    self.report = report
    var fault: (any Error)?
    if let path {
      do { try report.write(to: path, replacing: replacing) } catch { fault = error }
    }
    self.fault = fault
    self.path = fault == nil ? path : nil
  }

  /// - Throws: the error of writing the report, or ``CheckNotMet`` with every threshold that is not
  ///   met.
  package func check() throws {
    if let fault { throw fault }
    let unmet = report.checks.filter { !$0.isMet }
    if unmet.isEmpty { return }
    throw CheckNotMet(
      "the candidate does not meet its thresholds: "
        + unmet.map { check in
          let measured = check.measured.map { formatted($0, digits: 4) } ?? "not measurable"
          return "\(check.title) is \(measured)\(check.unit), "
            + "at \(check.side == .least ? "least" : "most") "
            + "\(formatted(check.limit, digits: 4))\(check.unit) is required"
        }.joined(separator: "; "))
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
    let size = report.settings.size.map { "\($0)" } ?? "0x0"
    var lines = [
      "\(counted(report.images.count, "image")) of \(size), "
        + "\(counted(report.settings.steps, "step"))",
      "reference: \(report.reference.name), \(formatted(bytes: report.reference.bytes))",
      table(rows, rightAligned: Set(1...7), width: 80),
      "PSNR in dB; latent and step errors are relative to the reference",
    ]
    for check in report.checks where check.isMet {
      lines.append(
        "met: \(check.title) at \(check.side == .least ? "least" : "most") "
          + "\(formatted(check.limit, digits: 4))\(check.unit)")
    }
    if let path {
      let folder = path == "/" ? "" : PathParts(path).sibling(PathParts(path).name)
      lines.append("report: \(folder)/index.html")
    }
    return lines.joined(separator: "\n")
  }

  /// A figure in at most 9 characters.
  private func cell(_ value: Double, digits: Int) -> String {
    value.isNaN ? "NaN" : formatted(value, digits: digits)
  }
}

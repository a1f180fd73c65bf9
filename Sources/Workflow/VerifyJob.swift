internal import Calibration
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
  /// `nil` follows from the model and ``effort``.
  package var steps: Int?
  /// Runs per prompt, with seeds 0, 1, ….
  package var seeds: Int
  /// The number of images of each model, of the first prompts; `nil` is one for each run where the
  /// prompts are a file or there are several seeds, and at most the effort's number elsewhere.
  package var pictures: Int?
  /// Decides on the sizes, where none is given, and on how many images and blocks are compared.
  package let effort: Effort
  /// `nil` is the usual one of the model's family.
  package var guidanceScale: Double?
  /// A scheduler's name; `nil` is the reference's own.
  package var scheduler: String?
  /// The sizes at which calls are compared; that of the images is the first. Empty for the effort's
  /// sizes for the model.
  package var sizes: [ImageSize]
  /// Whether the reference rounded to fp16 and to int8 is measured for comparison.
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

  package mutating func set(steps: Int?, sizes: [ImageSize]) {
    self.steps = steps
    self.sizes = sizes
  }

  package static let standard = VerificationRequest.standard(.standard)

  package static func standard(_ effort: Effort) -> VerificationRequest {
    VerificationRequest(
      promptsPath: nil, promptLimit: effort.prompts, limitsPromptFiles: false,
      promptsExcluded: [], steps: nil, seeds: 1, pictures: nil, effort: effort,
      guidanceScale: nil, scheduler: nil, sizes: [],
      hasBaselines: true, compute: .f32, referenceCompute: .f32)
  }

  /// The number of images where the prompts are Decant's own.
  package var standardPictures: Int { effort.images }

  fileprivate var thresholds: VerificationThresholds {
    VerificationThresholds(
      minimumPSNR: minimumPSNR, minimumSSIM: minimumSSIM, maximumLatentError: maximumLatentError,
      maximumStepError: maximumStepError)
  }

  private func steps(for model: Model) -> Int {
    steps ?? model.family.sampling.steps ?? effort.steps
  }

  private func guidanceScale(for model: Model) -> Double {
    guidanceScale ?? model.family.sampling.guidanceScale
  }

  /// A sampler's request with these settings, to check before any weights are read.
  func sampling(of model: Model) -> SamplingRequest {
    var sampling = SamplingRequest(prompt: "")
    sampling.steps = steps(for: model)
    sampling.guidanceScale = guidanceScale(for: model)
    sampling.scheduler = scheduler
    sampling.setSize(sizes.first)
    return sampling
  }

  /// The sizes at which calls are compared; that of the images is the first.
  fileprivate func sizes(for reference: Model) -> [ImageSize] {
    if !sizes.isEmpty { return sizes }
    return effort.sizes(native: reference.size(for: SamplingRequest(prompt: "")))
  }

  /// The number of images of each model.
  private var imageCount: Int {
    get throws {
      if let pictures { return pictures }
      let runs = try prompts.count * seeds
      return promptsPath != nil || seeds > 1 ? runs : min(runs, effort.images)
    }
  }

  /// Uses only as many prompts as there are images: other calls are recorded already.
  mutating func limitPromptsToImages() throws {
    promptLimit = max(1, try imageCount)
  }

  /// Adds the calls of the verification to a plan: those of each compared model, and the images of the
  /// reference and the candidate.
  ///
  /// - Parameter calibration: the calibration whose calls are used again; `nil` records the
  ///   reference's calls.
  func add(
    to plan: inout WorkPlan, of model: Model, calibration: CalibrationRequest?
  ) throws {
    let models = hasBaselines ? 3 : 1
    let sizes = sizes(for: model)
    var calls: [(count: Int, size: ImageSize)] = [
      (2 * steps(for: model) * (try imageCount), sizes[0])
    ]
    if let calibration {
      let runs = try calibration.runs(of: model).recorded
      let recorded = try calibration.callCount(of: model) / max(1, runs.count)
      calls += runs.map { (models * recorded, $0.size) }
    } else {
      let runs = try prompts.count * seeds
      calls += sizes.map { ((1 + models) * steps(for: model) * runs / sizes.count, $0) }
    }
    plan.add("verification", calls: calls)
  }

  /// Refuses images that take more memory than the process can get.
  ///
  /// - Throws: ``MemoryError``, or an error of the prompts.
  func checkMemory(for reference: Model) throws {
    for (index, size) in sizes(for: reference).enumerated() {
      var sampling = sampling(of: reference)
      sampling.setSize(size)
      try reference.checkMemory(for: sampling, images: index == 0 ? 2 * (try imageCount) : 0)
    }
  }

  /// Refuses a report whose images may not fit on its disk.
  ///
  /// - Throws: ``DiskSpaceError``, or an error of the prompts.
  func checkSpace(forReport path: String, of reference: Model) throws {
    try requireSpace(
      VerificationReport.mostImageBytes(
        images: try imageCount, size: sizes(for: reference)[0]), for: path, isMost: true)
  }

  fileprivate func settings(for reference: Model) throws -> VerificationSettings {
    let sizes = sizes(for: reference)
    return VerificationSettings(
      prompts: try prompts, seeds: (0..<seeds).map { UInt64($0) }, images: try imageCount,
      steps: steps(for: reference), guidanceScale: guidanceScale(for: reference),
      scheduler: scheduler, size: sizes[0],
      otherSizes: Array(sizes.dropFirst()), blockSteps: effort.blockSteps)
  }

  /// What the candidate should improve on: the reference in these schemes, rounded to nearest. A
  /// quantized reference has no baselines.
  fileprivate func baselines(
    of reference: ModelSource
  ) -> [(name: String, scheme: any Scheme, roundsToHalf: Bool)] {
    if !hasBaselines || reference.components.contains(where: \.weights.hasQuantizedTensors) {
      return []
    }
    return [
      ("fp16 rounding", Schemes.half, true), ("int8 (round)", Schemes.int8, false),
    ]
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
  private let command: String?

  /// - Parameters:
  ///   - report: the folder for `report.json` and `index.html`; `nil` writes no report.
  ///   - command: the command line that repeats the job, for the report.
  package init(
    reference: String, candidate: String, reading: InputOptions, request: VerificationRequest,
    report: String?, replacing: Bool, command: String? = nil
  ) {
    self.reference = reference
    self.candidate = candidate
    self.reading = reading
    self.request = request
    self.report = report
    self.replacing = replacing
    self.command = command
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
    let result = try verify(
      original, other, request, report: report, command: command, events)
    return VerificationOutcome(result, report: report, replacing: replacing)
  }
}

/// Compares a candidate with its reference.
///
/// - Parameters:
///   - recorded: calls of the reference that were recorded before; `nil` records calls.
///   - sensitivities: those of the reference's layers, for the report.
///   - candidateBytes: the size of the candidate's files; `nil` measures those at its location.
///   - report: where a report will be written, whose space is checked first.
///   - command: the command line that repeats the verification, for the report.
/// - Throws: ``PromptFileError`` or another error of the prompts, ``BindingError``,
///   ``VerificationError`` for models that cannot be compared, ``DiskSpaceError``, an error of the
///   sampler or of the weights' source, or `CancellationError`.
func verify(
  _ reference: ModelSource, _ candidate: ModelSource, _ request: VerificationRequest,
  recorded: RecordedCalls? = nil, sensitivities: Sensitivities? = nil,
  candidateBytes: Int? = nil, report: String? = nil, command: String? = nil, _ events: EventSink
) throws -> VerificationReport {
  func subject(
    _ source: ModelSource, bytes: Int? = nil, _ compute: Compute
  ) throws -> Verifier.Subject {
    Verifier.Subject(
      name: PathParts(source.location).name, model: try Model.bind(source),
      fileBytes: bytes ?? bytesOnDisk(of: source), arithmetic: compute.arithmetic)
  }
  let original = try subject(reference, request.referenceCompute)
  let settings = try request.settings(for: original.model)
  let verifier = Verifier(
    settings: settings, thresholds: request.thresholds, tool: "decant \(toolVersion)",
    machine: "\(machineName()), \(counted(Threads.count, "thread"))")
  try original.model.check(request.sampling(of: original.model))
  try request.checkMemory(for: original.model)
  let other = try subject(candidate, bytes: candidateBytes, request.compute)
  // The baselines read weights, so the models are compared first.
  try verifier.checkComparable(other, with: original)
  if let report { try request.checkSpace(forReport: report, of: original.model) }
  try noteTruncation(of: settings.prompts.texts, by: original.model, events)
  let baselines = try request.baselines(of: reference).map { baseline in
    let request = QuantizationRequest(
      type: baseline.scheme.name, method: RoundingMethods.nearest.name, keptShare: 0)
    return Verifier.Subject(
      name: baseline.name, model: try Model.bind(try QuantizedModel(reference, request).model),
      arithmetic: other.arithmetic, roundsToHalf: baseline.roundsToHalf)
  }
  events(.stage(.verifying(candidate: other.name, reference: original.name)))
  return try verifier.verify(
    reference: original, candidate: other, baselines: baselines, recorded: recorded,
    sensitivities: sensitivities, command: command,
    progress: { events(.progress(done: $0, total: $1)) }, planned: { events(.note($0.text)) })
}

extension VerificationPlan {
  /// The plan as a clause.
  fileprivate var text: String {
    let calls =
      ["\(counted(referenceCalls, "call")) of the reference", "\(candidateCalls) of the candidate"]
      + (baselineCalls == 0 ? [] : ["\(baselineCalls) of the baselines"])
    let pictures =
      images == 0 ? "no images" : "\(counted(images, "image")) of \(imageSize) with each model"
    return "the verification takes \(listed(calls)), and makes \(pictures)"
      + (reusesCalls ? "; the calls of the calibration are used again" : "")
  }
}

extension VerificationReport {
  /// The part that a `.decant` file keeps: the measurements, without images and tensors.
  var record: JSONObject {
    let whole = json
    var record: JSONObject = [:]
    for name in ["tool", "machine", "settings", "calls", "verdict", "thresholds", "met"] {
      record[name] = whole[name]
    }
    record["results"] = .array(
      compared.enumerated().map { index, subject in
        [
          "name": .string(subject.name), "errors": errors[index].json,
          "summary": summary(of: index).json,
        ]
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
      ["", "", "error", "error", "error", "PSNR", "SSIM", "cosine"],
      ["model", "weights", "mean", "median", "worst", "least", "least", "least"],
    ]
    for (index, subject) in report.compared.enumerated() {
      let summary = report.summary(of: index)
      let guided = report.errors[index].spreads.guided
      rows.append(
        [subject.name, formatted(bytes: subject.bytes)]
          + [guided.mean, guided.median, guided.worst].map { cell($0 * 100, digits: 3) }
          + [
            summary.leastPSNR == .infinity
              ? "identical" : summary.leastPSNR.map { cell($0, digits: 4) } ?? "-",
            summary.leastSSIM.map { cell($0, digits: 4) } ?? "-",
            summary.leastLatentCosine.map { cell($0, digits: 4) } ?? "-",
          ])
    }
    let images = counted(report.images.count, "image")
    let size = report.settings.size.map { " of \($0)" } ?? ""
    var lines = [
      "verdict: \(report.verdict.rawValue)", "  \(report.verdict.meaning)",
      "\(counted(report.calls.count, "call")) of the U-Net, "
        + (report.images.isEmpty
          ? "no images" : "\(images)\(size), \(counted(report.settings.steps, "step"))"),
      "reference: \(report.reference.name), \(formatted(bytes: report.reference.bytes))",
      table(rows, rightAligned: Set(1...7), width: 80),
      "error in %: of the guided prediction for the reference's inputs, over steps",
      "PSNR in dB; cosine of the final latents",
    ]
    if report.errors[0].sizes.count > 1 {
      for size in report.errors[0].sizes {
        guard let guided = report.errors[0].of(size)?.spreads.guided else { continue }
        lines.append(
          "error at \(size): mean \(cell(guided.mean * 100, digits: 3)) %, "
            + "worst \(cell(guided.worst * 100, digits: 3)) %")
      }
    }
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

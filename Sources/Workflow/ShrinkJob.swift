internal import Calibration
private import Foundation
internal import ModelSources
private import Models
internal import Quantization
private import Sampling
package import Support
internal import Tensors
private import Verification

/// Strips, calibrates, quantizes, writes and verifies a model in one job.
package struct ShrinkJob: Job {
  private let model: String
  private let reading: InputOptions
  private let output: OutputRequest
  private let cut: Cut?
  private let quantization: QuantizationRequest
  private let calibration: String?
  private let calibrating: CalibrationRequest
  private let verification: VerificationRequest
  private let report: String?

  /// - Parameters:
  ///   - cut: the blocks to strip first; `nil` strips none.
  ///   - calibration: a calibration file; `nil` makes one next to the output.
  ///   - report: the folder for the report; `nil` writes no report.
  package init(
    model: String, reading: InputOptions, output: OutputRequest, cut: Cut?,
    quantization: QuantizationRequest, calibration: String?, calibrating: CalibrationRequest,
    verification: VerificationRequest, report: String?
  ) {
    self.model = model
    self.reading = reading
    self.output = output
    self.cut = cut
    self.quantization = quantization
    self.calibration = calibration
    self.calibrating = calibrating
    self.verification = verification
    self.report = report
  }

  package func perform(_ events: @escaping EventSink) async throws -> ShrinkOutcome {
    let inputs =
      [model] + reading.composition.inputs
      + [calibration, calibrating.promptsPath, verification.promptsPath].compactMap { $0 }
    let writer = try output.writer(besides: inputs)
    if let report {
      try refuseReport(report, replacing: output.replacing, inputs: inputs + [output.path])
    }
    if isFolder(calibrationPath) { throw FileError(.create, calibrationPath, EISDIR) }
    let source = try ModelSource.reading(model, reading, changes: .listed, events)
    let digest = SourceDigest(source)
    // The same digest names the model of the calibration, unless blocks are stripped.
    var calibrated = digest
    var current = digest.watched
    var steps: [ProvenanceStep] = []
    var details: [(name: String, json: JSONValue, text: String)] = []
    if let cut {
      let stripped = try StrippedModel(current, cut)
      current = stripped.model
      calibrated = SourceDigest(current)
      steps.append(stripped.step)
      details.append(stripped.detail)
    }
    // Every refusal comes before calibration, which may take hours.
    try output.checkLoadable(current, by: writer)
    let bound = try Model.bind(current)
    try bound.check(calibrating.sampling)
    try bound.check(verification.sampling)
    _ = try (calibrating.prompts, verification.prompts)
    func quantized(
      _ calibration: CalibrationFile?, sparingOutliers events: EventSink?
    ) throws -> QuantizedModel {
      try QuantizedModel(
        current, quantization, calibration: calibration, sparingOutliers: events
      ) {
        try output.fitting($0, of: $1, in: current, by: writer, rest: $2)
      }
    }
    let planned = try quantized(nil, sparingOutliers: nil)
    if let note = try quantization.savingNote(
      planned.plan, of: current, as: output.layout, by: writer)
    {
      events(.note(note))
    }
    try output.layout.checkChanges(of: planned.model, by: writer)
    let makesCalibration = makesCalibration(for: planned.plan[ComponentName.unet])
    func checkSpace(calibrated model: Model?) throws {
      let beside =
        (model == nil ? [] : ["its calibration"])
        + (writer.recordsParity ? ["the copy that stores the verification's results"] : [])
      try requireSpace(
        try leastBytes(of: planned.model, by: writer, calibrated: model),
        for: output.path, beside: beside.isEmpty ? nil : listed(beside))
    }
    // Whether a calibration that exists can be used again, only its digest shows.
    let exists = FileManager.default.fileExists(atPath: calibrationPath)
    try checkSpace(calibrated: makesCalibration && !exists ? bound : nil)
    if let report { try verification.checkSpace(forReport: report, of: bound) }
    let file = try calibrationFile(calibrated, makesCalibration, events) {
      try checkSpace(calibrated: bound)
    }
    let quantized = try quantized(file, sparingOutliers: events)
    steps.append(quantized.step)
    try output.write(
      quantized.model.recording(steps, from: digest), by: writer, events)

    var request = verification
    request.promptsPath = request.promptsPath ?? calibrating.promptsPath
    request.promptsExcluded = Set(file?.runs.map(\.prompt) ?? [])
    if try request.prompts.contains(where: { request.promptsExcluded.contains($0.prompt) }) {
      events(
        .note(
          "the verification uses prompts of the calibration, because there are too few others",
          remedy: .choose(.prompts, purpose: "with more prompts")))
    }
    let outcome: VerificationOutcome
    do {
      let result = try verify(source, try self.written(besides: source, events), request, events)
      outcome = VerificationOutcome(result, report: report, replacing: output.replacing)
      if writer.recordsParity { try record(outcome, by: writer, events) }
    } catch is CancellationError {
      throw InterruptedVerification(
        path: output.path, reference: reading.isPlain ? model : nil, hasCalibration: file != nil)
    } catch {
      events(.note("\(output.path) is complete but not verified"))
      throw error
    }
    var written = WrittenModel(
      before: source, after: quantized.model, output: output, by: writer)
    written.details = details + [quantized.detail]
    return ShrinkOutcome(written: written, verification: outcome)
  }

  /// Stores the results in the written model, which takes a copy of it. On a full disk the model
  /// stays as it is, and a note says so.
  private func record(
    _ outcome: VerificationOutcome, by writer: any ModelWriter, _ events: EventSink
  ) throws {
    let record = outcome.record
    do {
      let added = JSONValue.object(record).text().utf8.count
      try requireSpace(output.byteCount + added, for: output.path)
      events(.stage(.recording(output.path)))
      try writer.record(parity: record, in: output.path) { done, total in
        events(.progress(done: done, total: total))
      }
    } catch let error where error is DiskSpaceError || error is FileError {
      events(
        .note(
          "the model is complete, but the results of its verification are not stored in it, which "
            + "takes a copy: \(error)"))
    }
  }

  /// The written model as a reader finds it. Components that its layout cannot hold come from
  /// `source`.
  private func written(
    besides source: ModelSource, _ events: EventSink
  ) throws -> ModelSource {
    let options = InputOptions(
      variant: output.options.variant, allowsNonfinite: reading.allowsNonfinite)
    return try ModelSource.reading(output.path, options, changes: .listed)
      .completed(by: source, events)
  }

  /// The free bytes that the job needs at least: for the calibration, the output, and the copy of
  /// the output that stores the verification's results.
  ///
  /// - Parameter model: the model that is calibrated; `nil` when no calibration is made.
  private func leastBytes(
    of planned: ModelSource, by writer: any ModelWriter, calibrated model: Model?
  ) throws -> Int {
    let unet = model?[ComponentName.unet]
    let calibration = CalibrationFile.leastBytes(modules: unet?.modules ?? [])
    let written = try output.leastBytes(of: planned, by: writer)
    // The first copy replaces an existing output, whose space is then free for the second one.
    let second = writer.recordsParity ? max(0, written - output.byteCount) : 0
    return calibration + written + second
  }

  /// The file of a calibration that this job makes: next to the output.
  private var calibrationPath: String {
    let output = PathParts(output.path)
    return output.sibling(output.name + ".calibration")
  }

  /// Whether the job makes a calibration: the user gives none, and the U-Net's plan uses one.
  private func makesCalibration(for plan: QuantizationPlan?) -> Bool {
    guard calibration == nil, let plan else { return false }
    return plan.method.usesStatistics && plan.quantizes
  }

  /// The calibration to quantize with: the user's file, or a new one; `nil` when the plan uses
  /// none.
  ///
  /// - Parameter checkSpace: called before a new one is computed in place of another.
  private func calibrationFile(
    _ digest: SourceDigest, _ makesCalibration: Bool, _ events: @escaping EventSink,
    checkSpace: () throws -> Void
  ) throws -> CalibrationFile? {
    if let calibration { return try CalibrationFile.reading(calibration) }
    guard makesCalibration else { return nil }
    let path = calibrationPath
    events(.note("the calibration is kept as \(path); an interrupted calibration can be continued"))
    return try calibrate(
      digest, calibrating, to: path, replacing: output.replacing, resuming: true, reusing: true,
      remedy: .repeatCommand, checkSpace: checkSpace, events)
  }
}

/// A verification that was interrupted after `shrink` wrote the model.
package struct InterruptedVerification: InterruptedJob {
  let path: String
  /// The model to verify with; `nil` where `verify` cannot read the same.
  let reference: String?
  let hasCalibration: Bool

  package var description: String { "\(path) is complete but not verified" }

  package var remedy: Remedy? {
    let again = Remedy.choose(
      .replace,
      purpose: "to run everything again"
        + (hasCalibration ? ", which uses the finished calibration" : ""))
    guard let reference else { return again }
    return .either([.verify(reference: reference, candidate: path), again])
  }
}

/// The model that `shrink` wrote, and its verification.
package struct ShrinkOutcome: JobOutcome {
  package let written: WrittenModel
  package let verification: VerificationOutcome

  package var json: JSONValue {
    ["written": written.json, "verification": verification.json]
  }

  package var text: String { written.text + "\n\n" + verification.text }
}

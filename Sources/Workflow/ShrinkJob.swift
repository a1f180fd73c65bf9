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
///
/// The output gets its name after the verification. A model that does not meet its thresholds is kept,
/// and its parity record says so.
package struct ShrinkJob: Job {
  private let model: String
  private let reading: InputOptions
  private let output: OutputRequest
  private let cut: Cut?
  private let quantization: QuantizationRequest
  private let calibration: String?
  private let calibrating: CalibrationRequest
  private let verification: VerificationRequest?
  private let report: String?
  private let command: String?
  private let allowsRemoval: Bool

  /// - Parameters:
  ///   - cut: the blocks to strip first; `nil` strips none.
  ///   - calibration: a calibration file; `nil` makes one next to the output.
  ///   - verification: `nil` writes the model without a verification.
  ///   - report: the folder for the report; `nil` writes no report.
  ///   - command: the command line that repeats the job, for the report.
  ///   - allowsRemoval: whether blocks are removed where the target is met better without them.
  package init(
    model: String, reading: InputOptions, output: OutputRequest, cut: Cut?,
    quantization: QuantizationRequest, calibration: String?, calibrating: CalibrationRequest,
    verification: VerificationRequest?, report: String?, command: String? = nil,
    allowsRemoval: Bool = false
  ) {
    self.allowsRemoval = allowsRemoval
    self.model = model
    self.reading = reading
    self.output = output
    self.cut = cut
    self.quantization = quantization
    self.calibration = calibration
    self.calibrating = calibrating
    self.verification = verification
    self.report = report
    self.command = command
  }

  package func perform(_ events: @escaping EventSink) async throws -> ShrinkOutcome {
    let inputs =
      [model] + reading.composition.inputs
      + [calibration, calibrating.promptsPath, verification?.promptsPath].compactMap { $0 }
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
      let stripped = try StrippedModel(current, cut, for: output, by: writer, events)
      current = stripped.model
      calibrated = SourceDigest(current)
      steps.append(stripped.step)
      details += stripped.details
    }
    // Every refusal comes before calibration, which may take hours.
    try output.checkLoadable(current, by: writer)
    let bound = try Model.bind(current)
    try calibrating.check(bound)
    if let verification { try bound.check(verification.sampling(of: bound)) }
    var calibrating = calibrating
    try calibrating.readPrompts()
    var verification = verification
    try verification?.readPrompts(else: calibrating)
    let unquantized = current
    var request = try quantization.readingPlan(for: unquantized)
    let given = try calibration.map(CalibrationFile.reading)
    if allowsRemoval {
      try quantization.checkAllowsRemoval()
      let output = output
      try MeasuredRemoval.check(bound) { try output.checkLoadable($0, by: writer) }
      try given?.requireCalls()
    }
    let expectedCalls = try given?.calls.count ?? calibrating.callCount(of: bound)
    func quantized(
      _ request: QuantizationRequest, _ calibration: CalibrationFile?,
      of stripped: ModelSource? = nil, sparingOutliers events: EventSink?
    ) throws -> QuantizedModel {
      let unrounded = stripped ?? unquantized
      return try QuantizedModel(
        unrounded, request, calibration: calibration,
        expectedCalls: expectedCalls, sparingOutliers: events,
        spool: RoundingSpool.path(beside: output.path)
      ) {
        try output.fitting($0, of: $1, in: unrounded, by: writer, rest: $2)
      }
    }
    let planned = try quantized(request, nil, sparingOutliers: nil)
    if let note = try request.savingNote(
      planned.plan, of: current, as: output.layout, by: writer)
    {
      events(.note(note))
    }
    try output.layout.checkChanges(of: planned.model, by: writer)
    let makesCalibration = makesCalibration(for: planned.plan[ComponentName.unet])
    let storesResults = writer.recordsParity && verification != nil
    let spooled = try planned.plan[ComponentName.unet]?.spooledBytes(beside: output.path) ?? 0
    func checkSpace(calibrated model: Model?) throws {
      let beside =
        (model == nil ? [] : ["its calibration"]) + (spooled > 0 ? ["the rounded layers"] : [])
        + (storesResults ? ["the copy that stores the verification's results"] : [])
      try requireSpace(
        spooled
          + (try leastBytes(
            of: planned.model, by: writer, calibrated: model, copies: storesResults ? 2 : 1)),
        for: output.path, beside: beside.isEmpty ? nil : listed(beside))
    }
    let search = try request.target.map { _ in
      try TargetSearch(
        unquantized, request, for: BudgetOutput(output.layout, writer), location: output.path,
        calls: makesCalibration ? expectedCalls : given?.calls.count ?? 0,
        allowsRemoval: allowsRemoval, events
      ) { try quantized($0, nil, sparingOutliers: nil).model }
    }
    // Whether a calibration that exists can be used again, only its digest shows.
    let exists = FileManager.default.fileExists(atPath: calibrationPath)
    try checkSpace(calibrated: makesCalibration && !exists ? bound : nil)
    try verification?.checkMemory(for: bound)
    if let report { try verification?.checkSpace(forReport: report, of: bound) }
    var plan = WorkPlan(
      calibrating, runs: try calibrating.runs(of: bound), of: bound,
      measures: request.target != nil
        || request.keepsSensitive && expectedCalls >= CalibrationFile.measurableCalls
        ? allowsRemoval ? [.sensitivity, .blocks] : [.sensitivity] : [],
      byLayer: calibrating.effort == .thorough && request.target == nil,
      rounds: planned.plan[ComponentName.unet]?.method.usesMoments == true)
    try verification?.add(to: &plan, of: bound, calibration: cut == nil ? calibrating : nil)
    let file =
      try given
      ?? calibrationFile(calibrated, calibrating, makesCalibration, plan, events) {
        try checkSpace(calibrated: bound)
      }
    verification?.promptsExcluded = Set(file?.runs.map(\.prompt) ?? [])
    // A stripped model is compared with the original, whose calls are others.
    let recorded = cut == nil ? file?.recorded : nil
    if recorded != nil { try verification?.limitPromptsToImages() }
    let kept = makesCalibration ? calibrationPath : nil
    do {
      let model: QuantizedModel
      var staged: (outputs: StagedOutputs, place: String)?
      if var search {
        var calibration = file
        var stripped: ModelSource?
        if allowsRemoval, let file,
          let found = try withoutBlocks(
            bound, search, file, by: writer, events,
            planned: { try quantized($1, nil, of: $0, sparingOutliers: nil).model })
        {
          (search, calibration) = (found.search, found.calibration)
          stripped = found.stripped.model
          steps.append(found.stripped.step)
          details += found.stripped.details
        }
        let found = try search.run(calibration, events) {
          try quantized($0, calibration, of: stripped, sparingOutliers: events)
        } written: { model in
          let outputs = StagedOutputs(replacing: output.replacing)
          let place = try output.stage(
            model.model.recording(steps + [model.step], from: digest), by: writer, in: outputs,
            events)
          return ((outputs: outputs, place: place), bytesOnDisk(place))
        }
        model = found.model
        staged = found.output
        details.append(found.outcome.detail)
      } else {
        try request.measureErrors(
          of: unquantized, file, byLayer: calibrating.effort == .thorough, events)
        model = try quantized(request, file, sparingOutliers: events)
      }
      let result = try write(
        model.model.recording(steps + [model.step], from: digest), staged: staged, by: writer,
        verifying: verification, against: source, recorded: recorded,
        sensitivities: cut == nil ? request.sensitivities : nil, calibration: kept, events)
      model.removeSpool()
      var written = WrittenModel(
        before: source, after: model.model, output: output, by: writer)
      written.details = details + [model.detail]
      return ShrinkOutcome(
        written: written,
        verification: result.map {
          VerificationOutcome($0, report: report, replacing: output.replacing)
        })
    } catch is CancellationError where kept != nil {
      throw InterruptedShrink(path: output.path, isVerifying: false, calibration: kept)
    }
  }

  /// The model without the blocks without which the target is met best, and what quantizes it; `nil` for the
  /// whole model.
  ///
  /// - Parameters:
  ///   - search: that for the whole model.
  ///   - planned: the model that a request makes of a model, without reading weights.
  private func withoutBlocks(
    _ model: Model, _ search: TargetSearch, _ file: CalibrationFile, by writer: any ModelWriter,
    _ events: @escaping EventSink,
    planned: @escaping (ModelSource, QuantizationRequest) throws -> ModelSource
  ) throws -> (search: TargetSearch, stripped: StrippedModel, calibration: CalibrationFile)? {
    let output = output
    let removal = try MeasuredRemoval(
      model, file, checkLoadable: { try output.checkLoadable($0, by: writer) }, events)
    let errors = try search.errors(file, events)
    guard let (cut, found) = try search.removing(from: removal, errors, planned: planned) else {
      return nil
    }
    let stripped = try StrippedModel(
      model.source, cut.plan,
      try removal.outcome(
        dropping: cut.drops, leaving: cut.parameters,
        error: try removal.error(dropping: cut.drops), path: cut.path), events)
    return (
      found, stripped,
      try cut.calibration(
        from: file, of: model[ComponentName.unet]?.modules ?? [], for: stripped.model)
    )
  }

  /// Writes the model, verifies it, stores the results in it, and only then gives it its name.
  ///
  /// - Parameters:
  ///   - earlier: the output where it is written and staged already; `nil` writes it.
  ///   - request: `nil` only writes.
  ///   - recorded: calls of the original; `nil` where the verification records them.
  ///   - sensitivities: those of the original's layers, for the report.
  ///   - calibration: the calibration file that this job made.
  /// - Returns: the results of the verification.
  private func write(
    _ model: ModelSource, staged earlier: (outputs: StagedOutputs, place: String)?,
    by writer: any ModelWriter, verifying request: VerificationRequest?,
    against source: ModelSource, recorded: RecordedCalls?, sensitivities: Sensitivities?,
    calibration: String?, _ events: EventSink
  ) throws -> VerificationReport? {
    guard let request else {
      if let earlier {
        try earlier.outputs.commit()
      } else {
        try output.write(model, by: writer, events)
      }
      return nil
    }
    let staged = earlier?.outputs ?? StagedOutputs(replacing: output.replacing)
    let place = try earlier?.place ?? output.stage(model, by: writer, in: staged, events)
    if try request.prompts.contains(where: { request.promptsExcluded.contains($0.prompt) }) {
      events(
        .note(
          "the verification uses prompts of the calibration, because there are too few others",
          remedy: .choose(.prompts, purpose: "with more prompts")))
    }
    let result: VerificationReport
    do {
      result = try verify(
        source, try written(at: place, besides: source, events), request, recorded: recorded,
        sensitivities: sensitivities, candidateBytes: bytesOnDisk(place), command: command, events)
      if writer.recordsParity { try record(result, at: place, of: staged, by: writer, events) }
      try Cancellation.check()
    } catch is CancellationError {
      throw InterruptedShrink(path: output.path, isVerifying: true, calibration: calibration)
    } catch {
      events(
        .note(
          "the verification failed, and \(output.path) is not written",
          remedy: .writeUnverified))
      throw (error as? FileError).map(staged.unstaged) ?? error
    }
    try staged.commit()
    return result
  }

  /// Stores the results in the staged model, which takes a copy of it. On a full disk the model stays
  /// as it is, and a note says so.
  private func record(
    _ result: VerificationReport, at place: String, of staged: StagedOutputs,
    by writer: any ModelWriter, _ events: EventSink
  ) throws {
    let record = result.record
    func note(_ error: any Error) {
      events(
        .note(
          "the model is complete, but the results of its verification are not stored in it, which "
            + "takes a copy: \(error)"))
    }
    do {
      let added = JSONValue.object(record).text().utf8.count
      try requireSpace(bytesOnDisk(place) + added, for: output.path)
      events(.stage(.recording(output.path)))
      try writer.record(parity: record, in: place) { done, total in
        events(.progress(done: done, total: total))
      }
    } catch let error as DiskSpaceError {
      note(error)
    } catch let error as FileError where !error.isOfChangedInput {
      note(staged.unstaged(error))
    }
  }

  /// The staged model as a reader finds it, with the path of the output. Components that its layout
  /// cannot hold come from `source`.
  private func written(
    at place: String, besides source: ModelSource, _ events: EventSink
  ) throws -> ModelSource {
    let options = InputOptions(
      variant: output.options.variant, allowsNonfinite: reading.allowsNonfinite)
    var model = try ModelSource.reading(place, options, changes: .listed)
    model.location = output.path
    return model.completed(by: source, events)
  }

  /// The free bytes that the job needs at least: for the calibration and the output. An existing
  /// output stays until the new one is complete.
  ///
  /// - Parameters:
  ///   - model: the model that is calibrated; `nil` when no calibration is made.
  ///   - copies: the copies of the output on the disk at once: storing the verification's results
  ///     takes a second one.
  private func leastBytes(
    of planned: ModelSource, by writer: any ModelWriter, calibrated model: Model?, copies: Int
  ) throws -> Int {
    let unet = model?[ComponentName.unet]
    let calibration = CalibrationFile.leastBytes(modules: unet?.modules ?? [])
    return calibration + copies * (try output.leastBytes(of: planned, by: writer))
  }

  /// The file of a calibration that this job makes: next to the output.
  private var calibrationPath: String {
    siblingPath(of: output.path, ending: ".calibration")
  }

  /// Whether the job makes a calibration: the user gives none, and the U-Net's plan uses one.
  private func makesCalibration(for plan: QuantizationPlan?) -> Bool {
    guard calibration == nil, let plan else { return false }
    if quantization.target != nil { return true }
    return plan.method.usesStatistics && plan.quantizes
  }

  /// A new calibration; `nil` when the plan uses none.
  ///
  /// - Parameter checkSpace: called before a new one is computed in place of another.
  private func calibrationFile(
    _ digest: SourceDigest, _ request: CalibrationRequest, _ makesCalibration: Bool,
    _ plan: WorkPlan, _ events: @escaping EventSink,
    checkSpace: () throws -> Void
  ) throws -> CalibrationFile? {
    guard makesCalibration else { return nil }
    let path = calibrationPath
    events(.note("the calibration is kept as \(path); an interrupted calibration can be continued"))
    return try calibrated(
      digest, request, to: path, replacing: output.replacing, resuming: true, reusing: true,
      plan: plan, remedy: .repeatCommand, checkSpace: checkSpace, events)
  }
}

extension QuantizationRequest {
  /// - Throws: ``JobError`` for patterns, which name blocks by numbers that a removal changes.
  fileprivate func checkAllowsRemoval() throws {
    if keep.isEmpty, only.isEmpty, assign.isEmpty { return }
    throw JobError(
      "patterns of layers do not go with the removal of blocks, which changes the numbers of the others",
      remedy: .leaveOut(.keep, and: [.only, .assign]))
  }
}

/// A job that was interrupted after its calibration, or in its verification. The model is not kept.
package struct InterruptedShrink: InterruptedJob {
  let path: String
  let isVerifying: Bool
  /// The calibration that the job made, with which the same job continues; `nil` where it made none.
  let calibration: String?

  package var description: String {
    "\(path) is not written" + (isVerifying ? ", because its verification was interrupted" : "")
      + (calibration.map { "; \($0) is kept" } ?? "")
  }

  package var remedy: Remedy? {
    let again: [Remedy] = calibration == nil ? [] : [.repeatCommand]
    return .either(again + (isVerifying ? [.writeUnverified] : []))
  }
}

extension Remedy {
  fileprivate static let writeUnverified = Remedy.choose(
    .skipVerification, purpose: "to write it without a verification")
}

/// The model that `shrink` wrote, and its verification.
package struct ShrinkOutcome: JobOutcome {
  package let written: WrittenModel
  /// `nil` for a model that was written without a verification.
  package let verification: VerificationOutcome?

  package var json: JSONValue {
    let verified = verification?.json.object
    return [
      "written": written.json, "verdict": verified?["verdict"] ?? .null,
      "errors": verified?["errors"] ?? .null,
      "verification": verified.map { .object($0) } ?? .null,
    ]
  }

  package var text: String {
    [written.text, verification?.text].compactMap { $0 }.joined(separator: "\n\n")
  }
}

import Checkpoints
import Foundation
import ModelSources
import Sampling
import Support
import Synchronization
import TestSupport
import Testing
import Workflow

/// Jobs that write refuse an output that clearly does not fit, before any work.
@Suite struct DiskSpaceTests {
  private struct NearlyFull: FileSystems {
    let free: Int
    func freeBytes(forWriting path: String) -> Int? { free }
  }

  /// No space is left once it is full.
  private final class Filling: FileSystems {
    private let isFull = Mutex(false)

    func fill() { isFull.withLock { $0 = true } }

    func freeBytes(forWriting path: String) -> Int? { isFull.withLock { $0 } ? 0 : .max }
  }

  /// Runs the job with `free` bytes in every file system, and returns the refusal.
  private func refusal(_ job: any Job, free: Int) async throws -> DiskSpaceError? {
    let log = EventLog()
    func refused() async -> DiskSpaceError? {
      await #expect(throws: DiskSpaceError.self) { _ = try await job.run(log.add) }
    }
    let error = await DiskSpace.$fileSystems.withValue(
      NearlyFull(free: free), operation: refused)
    #expect(log.isEmpty)
    return error
  }

  private func shrink(
    _ path: String, method: String, program: String? = nil, replacing: Bool = false,
    verification: VerificationRequest? = smallVerification
  ) -> ShrinkJob {
    ShrinkJob(
      model: tiny, reading: InputOptions(),
      output: OutputRequest(path: path, replacing: replacing, program: program), cut: nil,
      quantization: QuantizationRequest(type: "int8", method: method), calibration: nil,
      calibrating: smallCalibration, verification: verification, report: nil)
  }

  private func quantize(_ path: String, program: String? = nil) -> QuantizeJob {
    QuantizeJob(
      model: tiny, reading: InputOptions(), output: OutputRequest(path: path, program: program),
      isDryRun: false, request: QuantizationRequest(type: "int8", method: "round"),
      calibration: nil)
  }

  @Test func everyJobThatWritesChecksTheSpace() async throws {
    try await withTemporaryFolder { folder in
      let output = OutputRequest(path: folder + "/a.decant")
      let jobs: [any Job] = [
        ConvertJob(model: tiny, reading: InputOptions(), output: output, type: nil),
        StripJob(
          model: tiny, reading: InputOptions(), output: output, cut: .drops(["mid_block"])),
        quantize(output.path), shrink(output.path, method: "mse"),
        SynthesizeJob(family: "sd-v1-4", seed: 0, type: "f16", output: output),
        CalibrateJob(of: tiny, to: output.path),
      ]
      for job in jobs {
        let error = try await refusal(job, free: 1000)
        #expect(error?.path == output.path && error?.free == 1000, "\(job)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty, "\(job)")
      }
    }
  }

  /// The partial file of an interrupted run and the next one, or the result, exist at the same time.
  @Test func aCalibrationCountsItsPartialFile() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.calibration"
      let job = CalibrateJob(of: tiny, to: path)
      let error = try #require(try await refusal(job, free: 1000))
      #expect("\(error)".contains(": writing it, and beside it a.calibration.partial, takes "))
      _ = try await job.run()
      let bytes = 2 * (try ByteSlice.mapping(path).count)
      #expect(error.needed < bytes && error.needed > bytes * 9 / 10)
    }
  }

  /// A calibration that `shrink` cannot use again is made again, which takes space for the old and
  /// the new one.
  @Test func aCalibrationOfSomethingElseIsNoSpaceSaved() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      let job = shrink(path, method: "mse", replacing: true)
      let needed = try #require(try await refusal(job, free: 0)).needed
      try Data("else".utf8).write(to: URL(fileURLWithPath: path + ".calibration"))
      let log = EventLog()
      let error = await #expect(throws: DiskSpaceError.self) {
        try await DiskSpace.$fileSystems.withValue(NearlyFull(free: needed - 1)) {
          _ = try await job.run(log.add)
        }
      }
      #expect(error?.path == path && error?.needed == needed)
      #expect("\(error as Any)".contains("beside it its calibration"))
      #expect(!log.stages.contains { if case .calibrating = $0 { true } else { false } })
      #expect(!FileManager.default.fileExists(atPath: path))
    }
  }

  @Test func imagesCountAsIncompressible() async throws {
    try await withTemporaryFolder { folder in
      var request = GenerateRequest.standard
      (request.prompts, request.steps, request.width, request.height) = (["a", "b"], 1, 16, 16)
      let path = folder + "/a.png"
      let image = Image.mostBytes(ofPNG: ImageSize(width: 16, height: 16))
      let size = ImageSize(width: 16, height: 16)
      // A note of each prompt.
      let sheet = Image.mostBytes(
        ofPNG: LabelledSheet.size(rows: [[size, size]], notes: ["1", "2"]))
      for (output, grid, needed) in [(path, nil, 2 * image), (nil, path, sheet)]
        as [(String?, String?, Int)]
      {
        let job = GenerateJob(
          models: [tiny], reading: InputOptions(), compute: .f32, request: request,
          output: output, grid: grid, latentsOutput: nil, replacing: false)
        let error = await #expect(throws: DiskSpaceError.self) {
          try await DiskSpace.$fileSystems.withValue(NearlyFull(free: needed - 1)) {
            _ = try await job.run()
          }
        }
        #expect(error?.needed == needed && error?.isMost == true)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
        try await DiskSpace.$fileSystems.withValue(NearlyFull(free: needed)) {
          _ = try await job.run()
        }
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
          try FileManager.default.removeItem(atPath: folder + "/" + name)
        }
      }
    }
  }

  @Test func verificationChecksTheSpaceForItsReport() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/report"
      let job = VerifyJob(
        reference: tiny, candidate: tiny, reading: InputOptions(), request: smallVerification,
        report: path, replacing: false)
      let log = EventLog()
      let error = await #expect(throws: DiskSpaceError.self) {
        try await DiskSpace.$fileSystems.withValue(NearlyFull(free: 1000)) {
          _ = try await job.run(log.add)
        }
      }
      #expect(error?.path == path && error?.isMost == true)
      #expect(!log.stages.contains { if case .verifying = $0 { true } else { false } })
    }
  }

  /// A report has images of the reference, the difference and the candidate. Baselines make none.
  @Test func aReportCountsItsImages() async throws {
    try await withTemporaryFolder { folder in
      func needed(_ change: (inout VerificationRequest) -> Void) async throws -> Int {
        var request = smallVerification
        change(&request)
        let job = VerifyJob(
          reference: tiny, candidate: tiny, reading: InputOptions(), request: request,
          report: folder + "/report", replacing: false)
        let error = await #expect(throws: DiskSpaceError.self) {
          try await DiskSpace.$fileSystems.withValue(NearlyFull(free: 0)) {
            _ = try await job.run()
          }
        }
        return try #require(error).needed
      }
      let one = try await needed { _ in }
      #expect(try await needed { $0.hasBaselines = true } == one)
      #expect(try await needed { $0.pictures = 5 } == 5 * one)
      #expect(try await needed { $0.seeds = 3 } == 3 * one)
    }
  }

  /// The results are shown before the error of a report that could not be written.
  @Test func resultsOutliveAReportThatCannotBeWritten() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/report"
      let outcome = try await VerifyJob(
        reference: tiny, candidate: tiny, reading: InputOptions(), request: smallVerification,
        report: path, replacing: false
      ).run { event in
        // The folder appears after the job looked for it.
        guard case .progress = event else { return }
        try? FileManager.default.createDirectory(
          atPath: path, withIntermediateDirectories: true)
      }
      #expect(outcome.text.contains("identical") && !outcome.text.contains("report:"))
      #expect(outcome.json["report"] == nil)
      #expect(throws: FileError(.exists, path)) { try outcome.check() }
    }
  }

  /// A disk that is full after the first copy of the output costs the results in the file, not the
  /// output or the results themselves.
  @Test func aFullDiskKeepsTheShrunkModel() async throws {
    try await withTemporaryFolder { folder in
      let (path, whole) = (folder + "/a.decant", folder + "/b.decant")
      _ = try await shrink(whole, method: "round").run()
      let log = EventLog()
      let disk = Filling()
      let outcome = try await DiskSpace.$fileSystems.withValue(disk) {
        try await shrink(path, method: "round").run { event in
          log.add(event)
          if case .stage(.verifying) = event { disk.fill() }
        }
      }
      #expect(
        log.notes.contains {
          $0.hasPrefix(
            "the model is complete, but the results of its verification are not stored in it, which "
              + "takes a copy: \(path): writing it takes at least ")
        })
      #expect(!log.stages.contains(.recording(path)))
      #expect(outcome.text.contains("PSNR"))
      let recorded = try ByteSlice.mapping(whole).count
      #expect(try ByteSlice.mapping(path).count < recorded)
      #expect(try weights(packed(path)) == weights(packed(whole)))
    }
  }

  @Test func extractionChecksTheSpaceForItsComponent() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/vae.safetensors"
      let error = try await refusal(
        ExtractJob(
          model: miniature, reading: InputOptions(), part: .vae, output: path, replacing: false,
          type: nil), free: 1000)
      let vae = try #require(try Readers.all.read(miniature)["vae"])
      #expect(error?.path == path && error?.needed == vae.weights.byteCount)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  @Test func mergingCalibrationsChecksTheSpace() async throws {
    try await withTemporaryFolder { folder in
      var parts: [String] = []
      for prompt in ["a", "b"] {
        var settings = smallCalibration
        settings.promptsPath = folder + "/\(prompt).txt"
        try (prompt + "\n").write(
          toFile: folder + "/\(prompt).txt", atomically: true, encoding: .utf8)
        parts.append(folder + "/" + prompt)
        _ = try await CalibrateJob(of: tiny, settings, to: folder + "/" + prompt).run()
      }
      let merge = CalibrateJob(task: .merge(parts), output: folder + "/c", replacing: false)
      let error = try #require(try await refusal(merge, free: 1000))
      // The file is a little larger than its tensors.
      let bytes = try ByteSlice.mapping(parts[0]).count
      #expect(error.needed < bytes && error.needed > bytes * 9 / 10)
      #expect(!FileManager.default.fileExists(atPath: folder + "/c"))
    }
  }

  /// `shrink` needs space for its calibration, the output, and the copy of the output that stores the
  /// results of the verification.
  @Test func shrinkCountsTheCalibrationAndTheSecondCopy() async throws {
    try await withTemporaryFolder { folder in
      func needed(_ job: any Job) async throws -> Int {
        try #require(try await refusal(job, free: 0)).needed
      }
      let (file, part) = (folder + "/a.decant", folder + "/a.gguf")
      let written = try await needed(quantize(file))
      #expect(try await needed(shrink(file, method: "round")) == 2 * written)
      let calibration = try await needed(shrink(file, method: "mse")) - 2 * written
      #expect(calibration > 0)
      // A calibration that exists may be used again.
      try Data().write(to: URL(fileURLWithPath: file + ".calibration"))
      #expect(try await needed(shrink(file, method: "mse")) == 2 * written)
      // GGUF files do not store the results.
      let unet = try await needed(quantize(part, program: "comfyui"))
      let whole = try await needed(shrink(part, method: "mse", program: "comfyui"))
      #expect(whole == unet + calibration)

      // An existing output stays until the new one is complete, and so gives no space.
      _ = try await shrink(file, method: "round").run()
      #expect(
        try await needed(shrink(file, method: "round", replacing: true)) == 2 * written)
      // Without a verification there are no results to store.
      #expect(
        try await needed(shrink(folder + "/b.decant", method: "round", verification: nil))
          == written)
    }
  }
}

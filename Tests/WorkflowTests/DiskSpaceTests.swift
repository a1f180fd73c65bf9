import Checkpoints
import Foundation
import ModelSources
import Support
import TestSupport
import Testing
import Workflow

/// Jobs that write refuse an output that clearly does not fit, before any work.
@Suite struct DiskSpaceTests {
  private struct NearlyFull: FileSystems {
    let free: Int
    func freeBytes(forWriting path: String) -> Int? { free }
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

  private func shrink(_ path: String, method: String, program: String? = nil) -> ShrinkJob {
    ShrinkJob(
      model: tiny, reading: InputOptions(),
      output: OutputRequest(path: path, program: program), cut: nil,
      quantization: QuantizationRequest(type: "int8", method: method), calibration: nil,
      calibrating: smallCalibration, verification: smallVerification, report: nil)
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
        CalibrateJob(
          task: .run(
            model: tiny, reading: InputOptions(), settings: smallCalibration, resumes: false),
          output: output.path, replacing: false),
      ]
      for job in jobs {
        let error = try await refusal(job, free: 1000)
        #expect(error?.path == output.path && error?.free == 1000, "\(job)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty, "\(job)")
      }
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
        _ = try await CalibrateJob(
          task: .run(model: tiny, reading: InputOptions(), settings: settings, resumes: false),
          output: folder + "/" + prompt, replacing: false
        ).run()
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
      // GGUF files do not store the results.
      let unet = try await needed(quantize(part, program: "comfyui"))
      let whole = try await needed(shrink(part, method: "mse", program: "comfyui"))
      #expect(whole == unet + calibration)
    }
  }
}

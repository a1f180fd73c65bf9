import Checkpoints
import Foundation
import ModelSources
import Support
import Synchronization
import Tensors
import TestSupport
import Testing
import Verification
import Workflow

/// Dry runs, wrong calibrations, calibrations that are used again, and candidates of `verify` that
/// are parts of models.
@Suite struct PlanAndCalibrationTests {
  /// The scheme of every tensor in the plan of a dry run.
  private func planned(
    _ output: OutputRequest?, _ layout: LayoutRequest
  ) async throws -> [String: String] {
    let out = try await QuantizeJob(
      model: miniature, reading: InputOptions(), output: output, layout: layout, isDryRun: true,
      request: QuantizationRequest(type: "int8", method: "round"), calibration: nil
    ).run()
    let entries = try #require(out.json["plan"]?.array)
    return Dictionary(
      uniqueKeysWithValues: entries.map { ($0["tensor"]?.string ?? "", $0["scheme"]?.string ?? "") }
    )
  }

  @Test(
    arguments: [
      (nil, nil, "a.decant"), ("comfyui", "gguf", "a.gguf"), ("sdcpp", nil, "a.gguf"),
      (nil, "gguf", "a.gguf"), ("sdnq", nil, "a"),
    ] as [(String?, String?, String)])
  func aDryRunShowsWhatARealRunWrites(
    program: String?, kind: String?, name: String
  ) async throws {
    try await withTemporaryFolder { folder in
      let layout = LayoutRequest(kind: kind, program: program)
      let output = OutputRequest(path: folder + "/" + name, layout: layout)
      let plan = try await planned(nil, layout)
      #expect(try await planned(output, LayoutRequest()) == plan)
      let out = try await QuantizeJob(
        model: miniature, reading: InputOptions(), output: output, isDryRun: false,
        request: QuantizationRequest(type: "int8", method: "round"), calibration: nil
      ).run()
      let ledger = try #require(out.json["quantize"]?["ledger"]?.array)
      let written = Dictionary(
        uniqueKeysWithValues: ledger.map { ($0["tensor"]?.string ?? "", $0["after"]?.string ?? "") }
      )
      #expect(written == plan)
      let type = name == "a.gguf" ? "int8-g32" : "int8"
      #expect(Set(plan.values.filter { $0 != "f16" }) == [type])
    }
  }

  /// ComfyUI reads vectors as float32: the plan states and counts them so, and so does the summary.
  @Test(arguments: [
    (
      "comfyui", "plan of a GGUF file for ComfyUI-GGUF:\n",
      "bias; ComfyUI-GGUF reads it as f32", "f32"
    ),
    (
      "sdcpp", "plan of a GGUF file for stable-diffusion.cpp:\n",
      "stable-diffusion.cpp reads it as plain numbers only", "f16"
    ),
  ])
  func aDryRunStatesItsOutputAndTheStoredBytes(
    program: String, heading: String, reason: String, vectors: String
  ) async throws {
    try await withTemporaryFolder { folder in
      let request = QuantizationRequest(type: "int8", method: "round")
      let output = OutputRequest(path: folder + "/a.gguf", program: program)
      let out = try await QuantizeJob(
        model: miniature, reading: InputOptions(), output: output, isDryRun: true,
        request: request, calibration: nil
      ).run()
      #expect(out.text.hasPrefix(heading) && out.text.contains(reason), "\(out.text)")
      #expect(out.json["layout"] == "gguf" && out.json["program"] == .string(program))
      let written = try await QuantizeJob(
        model: miniature, reading: InputOptions(), output: output, isDryRun: false,
        request: request, calibration: nil
      ).run()
      let file = try Readers.all.read(output.path)
      let weights = try #require(file["unet"]).weights
      let unet = weights.byteCount
      #expect(out.json["bytes"] == .integer(unet))
      let all = file.components.reduce(0) { $0 + $1.weights.byteCount }
      #expect(out.json["weight_bytes"] == .integer(all))
      let planned = try #require(out.json["plan"]?.array).compactMap { $0["bytes"]?.integer }
      #expect(planned.reduce(0, +) == unet)
      let types = try #require(out.json["plan"]?.array).map { entry in
        (entry["tensor"]?.string ?? "", entry["stored_as"]?.string ?? "")
      }
      #expect(types.allSatisfy { weights.entry($0.0)?.encoding.name == $0.1 })
      #expect(types.contains { $0.0 == "conv_in.bias" && $0.1 == vectors })
      let groups = try #require(written.json["quantize"]?["plan"]?.array)
      #expect(groups.contains { $0["reason"]?.string?.hasPrefix("bias") == true })
      for group in groups where group["reason"]?.string?.hasPrefix("bias") == true {
        #expect(group["scheme"] == "f16" && group["stored_as"] == .string(vectors))
      }
      let parts = try #require(written.json["components"]?.array)
      let part = try #require(parts.first { $0["name"] == "unet" })
      #expect(part["bytes"]?["after"] == .integer(unet))
    }
  }

  @Test func anotherFileAsCalibrationIsDescribed() async throws {
    try await withTemporaryFolder { folder in
      let (empty, text, packed) = (folder + "/empty", folder + "/a.txt", folder + "/a.decant")
      try Data().write(to: URL(fileURLWithPath: empty))
      try "a picture of a cat\n".write(toFile: text, atomically: true, encoding: .utf8)
      _ = try await ConvertJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: packed), type: nil
      ).run()
      let unet = tiny + "/unet/diffusion_pytorch_model.safetensors"
      for (path, found) in [
        (empty, "an empty file"), (text, "a text file"), (packed, "a decant file"),
        (fixture("demo-grid.png"), "a PNG image"), (tiny, "a diffusers folder"),
        (unet, "a safetensors file that holds "),
        (fixture("gguf/types.gguf"), "a GGUF file that holds "),
      ] {
        let jobs: [any Job] = [
          QuantizeJob(
            model: tiny, reading: InputOptions(), output: nil, isDryRun: true,
            request: QuantizationRequest(type: "int8"), calibration: path),
          CalibrateJob(task: .merge([path, path]), output: folder + "/c", replacing: false),
        ]
        for job in jobs {
          await #expect {
            _ = try await job.run { _ in }
          } throws: {
            let message = "\($0)"
            return message.hasPrefix("\(path): \(found)")
              && message.hasSuffix(", expected a calibration")
          }
        }
      }
    }
  }

  /// After a failure that follows the calibration, the same command does not calibrate again.
  @Test func shrinkUsesItsFinishedCalibrationAgain() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      /// Whether the run calibrated.
      func shrink(
        replacing: Bool, _ change: (inout CalibrationRequest) -> Void = { _ in }
      ) async throws -> Bool {
        var calibrating = smallCalibration
        change(&calibrating)
        let log = EventLog()
        _ = try await ShrinkJob(
          model: tiny, reading: InputOptions(),
          output: OutputRequest(path: path, replacing: replacing), cut: nil,
          quantization: QuantizationRequest(type: "int4-g32"), calibration: nil,
          calibrating: calibrating, verification: smallVerification, report: nil
        ).run(log.add)
        let calibrated = log.stages.contains {
          if case .calibrating = $0 { true } else { false }
        }
        #expect(log.notes.contains { $0.contains("is used again") } == !calibrated)
        return calibrated
      }
      #expect(try await shrink(replacing: false))
      let (first, calibration) = try (contents(path), contents(path + ".calibration"))
      #expect(try await !shrink(replacing: true))
      #expect(try contents(path) == first)
      try FileManager.default.removeItem(atPath: path)
      #expect(try await !shrink(replacing: false))
      #expect(try contents(path) == first)
      #expect(try contents(path + ".calibration") == calibration)

      // Other settings need another calibration, which is not replaced without a request.
      try FileManager.default.removeItem(atPath: path)
      await #expect(throws: FileError(.exists, path + ".calibration")) {
        _ = try await shrink(replacing: false) { $0.seeds = 2 }
      }
      #expect(try await shrink(replacing: true) { $0.seeds = 2 })
      let int8 = try #require(Compute(name: "int8"))
      #expect(try await shrink(replacing: true) { $0.compute = int8 })
      #expect(try await !shrink(replacing: true) { $0.compute = int8 })
      #expect(try await shrink(replacing: true))
    }
  }

  /// The error of a job that is cancelled when a stage begins.
  private func interrupted(
    _ job: ShrinkJob, at isReached: @escaping @Sendable (Stage) -> Bool
  ) async throws -> InterruptedShrink {
    let running = Mutex<Task<Void, any Error>?>(nil)
    let (starts, start) = AsyncStream<Void>.makeStream()
    let task = Task {
      for await _ in starts { break }
      _ = try await job.run { event in
        guard case .stage(let stage) = event, isReached(stage) else { return }
        running.withLock { $0?.cancel() }
      }
    }
    running.withLock { $0 = task }
    start.yield()
    let error = await #expect(throws: InterruptedShrink.self) { try await task.value }
    return try #require(error)
  }

  private func shrink(_ path: String, _ quantization: QuantizationRequest) -> ShrinkJob {
    ShrinkJob(
      model: tiny, reading: InputOptions(), output: OutputRequest(path: path), cut: nil,
      quantization: quantization, calibration: nil, calibrating: smallCalibration,
      verification: smallVerification, report: nil)
  }

  /// An interrupted verification leaves no model. The message names the calibration, which the same
  /// command uses again.
  @Test func anInterruptedVerificationKeepsItsCalibration() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      let isVerifying: @Sendable (Stage) -> Bool = {
        if case .verifying = $0 { true } else { false }
      }
      let skipping = Remedy.choose(
        .skipVerification, purpose: "to write it without a verification")
      let plain = try await interrupted(
        shrink(path, QuantizationRequest(type: "int8", method: "round")), at: isVerifying)
      #expect(
        plain.description == "\(path) is not written, because its verification was interrupted")
      #expect(plain.remedy == .either([skipping]))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)

      let job = shrink(path, QuantizationRequest(type: "int8"))
      let error = try await interrupted(job, at: isVerifying)
      #expect(
        error.description
          == "\(path) is not written, because its verification was interrupted; "
          + "\(path).calibration is kept")
      #expect(error.remedy == .either([.repeatCommand, skipping]))
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.decant.calibration"])
      let log = EventLog()
      _ = try await job.run(log.add)
      #expect(!log.stages.contains { if case .calibrating = $0 { true } else { false } })
    }
  }

  /// The same while the model is written.
  @Test func anInterruptionAfterTheCalibrationNamesIt() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      let error = try await interrupted(shrink(path, QuantizationRequest(type: "int8"))) {
        if case .writing = $0 { true } else { false }
      }
      #expect(error.description == "\(path) is not written; \(path).calibration is kept")
      #expect(error.remedy == .either([.repeatCommand]))
      #expect(
        try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.decant.calibration"])
    }
  }

  /// Names of models are not cut, and all lines fit 80 columns.
  @Test func theTableOfAVerificationIsComplete() async throws {
    try await withTemporaryFolder { folder in
      let name = "a-model-with-a-long-name-int8.decant"
      _ = try await QuantizeJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: folder + "/" + name),
        isDryRun: false, request: QuantizationRequest(type: "int8"), calibration: nil
      ).run()
      var request = smallVerification
      request.hasBaselines = true
      let text = try await VerifyJob(
        reference: tiny, candidate: folder + "/" + name, reading: InputOptions(),
        request: request, report: nil, replacing: false
      ).run().text
      let lines = text.split(separator: "\n")
      #expect(lines.allSatisfy { $0.count <= 80 }, "\(text)")
      #expect(!text.contains("…") && lines.contains { $0.hasPrefix("int8 (round) ") }, "\(text)")
      // The name's pieces begin the lines of its row.
      var rest = name[...]
      for line in lines {
        let piece = line.prefix { $0 != " " }
        if !rest.isEmpty, rest.hasPrefix(piece) { rest = rest.dropFirst(piece.count) }
      }
      #expect(rest.isEmpty, "\(text)")
    }
  }

  /// Models of two architectures are refused before they are loaded.
  @Test func modelsOfTwoArchitecturesAreNotCompared() async throws {
    let log = EventLog()
    let error = await #expect(throws: VerificationError.self) {
      _ = try await VerifyJob(
        reference: miniature, candidate: miniatureXL, reading: InputOptions(),
        request: smallVerification, report: nil, replacing: false
      ).run(log.add)
    }
    #expect(error?.description.hasPrefix("mini-sdxl cannot be compared with mini-sd: ") == true)
    #expect(
      !log.stages.contains {
        switch $0 {
        case .loading, .verifying: true
        default: false
        }
      })
  }

  /// A U-Net alone is compared with the reference's other components. Configs that tensors do not
  /// show, such as the number of heads, come from the reference too.
  @Test func aUNetAloneIsVerified() async throws {
    try await withTemporaryFolder { folder in
      let (whole, alone) = (folder + "/a.safetensors", folder + "/unet.safetensors")
      _ = try await ConvertJob(
        model: tiny, reading: InputOptions(), output: OutputRequest(path: whole), type: nil
      ).run()
      let file = try SafetensorsFile(path: whole)
      let names = file.names.filter { $0.hasPrefix("model.diffusion_model.") }
      try writeSafetensors(
        MemorySource(location: alone, names.map { ($0, try file.tensor($0)) }), to: alone)
      let gguf = folder + "/unet.gguf"
      _ = try await ConvertJob(
        model: tiny, reading: InputOptions(),
        output: OutputRequest(path: gguf, program: "comfyui"), type: nil
      ).run()
      for candidate in [alone, gguf] {
        let log = EventLog()
        let out = try await VerifyJob(
          reference: tiny, candidate: candidate, reading: InputOptions(),
          request: smallVerification, report: nil, replacing: false
        ).run(log.add)
        #expect(out.text.contains("identical"), "\(out.text)")
        // One run of three calls, as PNDM has for two steps; two are repeated for the outputs of
        // blocks.
        #expect(
          log.notes == [
            "\(candidate) has no text_encoder or vae; the verification uses those of \(tiny)",
            "the verification takes 5 calls of the reference and 6 of the candidate, "
              + "and makes 1 image of 16x16 with each model",
          ])
      }
    }
  }
}

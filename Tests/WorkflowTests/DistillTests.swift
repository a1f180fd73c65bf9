import Checkpoints
import Foundation
import ModelSources
import Support
import TestSupport
import Testing
import Workflow

/// Kits for distillation. `Tests/Parity` runs their training.
@Suite struct DistillTests {
  private static let files = [
    "README.md", "captions.txt", "distill.py", "requirements.txt", "samples.py", "settings.json",
    "student", "teacher",
  ]

  /// The miniature without its mid block.
  private func student(in folder: String) async throws -> String {
    let path = folder + "/small"
    _ = try await StripJob(
      model: miniature, reading: InputOptions(), output: OutputRequest(path: path),
      cut: .drops(["mid_block"])
    ).run()
    return path
  }

  private func text(_ path: String) throws -> String {
    try String(contentsOfFile: path, encoding: .utf8)
  }

  private func names(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  }

  private func weights(in folder: String) throws -> [String: [String]] {
    try WorkflowTests.weights(DiffusersFolderReader().read(folder, options: ReadOptions()))
  }

  @Test func theKitIsComplete() async throws {
    try await withTemporaryFolder { folder in
      let small = try await student(in: folder)
      let kit = folder + "/kit"
      let log = EventLog()
      let outcome = try await DistillJob(teacher: miniature, student: small, output: kit + "/")
        .run(log.add)
      #expect(try names(kit) == Self.files)
      #expect(try weights(in: kit + "/teacher") == weights(in: miniature))
      #expect(try weights(in: kit + "/student") == weights(in: small))
      for (name, path) in [("teacher", miniature), ("student", small)] {
        #expect(
          try text(kit + "/\(name)/tokenizer/merges.txt") == text(path + "/tokenizer/merges.txt"))
        let kind = try FileManager.default.attributesOfItem(atPath: kit + "/" + name)[.type]
        #expect(kind as? FileAttributeType == .typeDirectory)
      }
      let sources = URL(fileURLWithPath: fixture("")).deletingLastPathComponent().path
      for file in ["README.md", "distill.py", "requirements.txt", "samples.py"] {
        #expect(try text("\(kit)/\(file)") == text("\(sources)/Sources/CDistillKit/\(file)"))
      }
      let captions = try text(kit + "/captions.txt").split(separator: "\n")
      #expect(captions.count == ownPromptCount && outcome.captions == ownPromptCount)
      #expect(
        log.notes.count == 1 && log.notes[0].hasPrefix("the kit has \(ownPromptCount) captions"))

      #expect(outcome.teacher.parameters == 5_523_876 && !outcome.teacher.isLink)
      #expect(outcome.student.parameters == 5_523_876 - 556_320 && !outcome.student.isLink)
      #expect(outcome.path("result") == kit + "/result")
      let bytes = try contents(kit).values.reduce(0) { $0 + $1.count }
      #expect(outcome.json["output_bytes"]?.integer == bytes)
    }
  }

  /// A miniature learns faster than BK-SDM. Guidance is that of the family.
  @Test(arguments: [
    (miniature, 1.5e-3, 32, 7.5), (fixture("mini-sdxl"), 1.5e-3, 32, 7.5),
  ])
  func settingsSuitTheTeacher(
    teacher: String, rate: Double, batch: Int, guidance: Double
  ) async throws {
    try await withTemporaryFolder { folder in
      let kit = folder + "/kit"
      let outcome = try await DistillJob(
        teacher: teacher, student: teacher, output: kit, isLinking: true
      ).run()
      let settings = try JSONValue(parsing: text(kit + "/settings.json"))
      #expect(settings["rate"]?.number == rate)
      #expect(settings["batch"]?.integer == batch)
      #expect(settings["guidance_scale"]?.number == guidance)
      #expect(outcome.json["settings"] == settings)
      // The script refuses keys that it does not have.
      let script = try text(kit + "/distill.py")
      let keys = try #require(settings.object).members.map(\.key)
      #expect(keys.count > 6)
      for key in keys { #expect(script.contains("    \"\(key)\": ("), "\(key)") }
    }
  }

  @Test func foldersAreLinkedAndOtherModelsCopied() async throws {
    try await withTemporaryFolder { folder in
      let kit = folder + "/kit"
      let file = folder + "/small.decant"
      _ = try await ConvertJob(
        model: miniature, reading: InputOptions(), output: OutputRequest(path: file), type: nil
      ).run()
      let log = EventLog()
      let outcome = try await DistillJob(
        teacher: miniature, student: file, output: kit, isLinking: true
      ).run(log.add)
      #expect(outcome.teacher.isLink && !outcome.student.isLink)
      let target = try FileManager.default.destinationOfSymbolicLink(atPath: kit + "/teacher")
      #expect(target == URL(fileURLWithPath: miniature).resolvingSymlinksInPath().path)
      #expect(try weights(in: kit + "/student") == weights(in: miniature))
      #expect(log.notes.contains { $0.hasPrefix("\(file) is not a diffusers folder") })
      #expect(outcome.json["teacher"]?["link"] == true)
    }
  }

  /// The training skips empty lines and those that begin with `#`.
  @Test func eachCaptionIsALine() async throws {
    try await withTemporaryFolder { folder in
      let prompts = folder + "/prompts.json"
      try Data(##"["a cat\non a mat", "#1 of two", "a dog"]"##.utf8)
        .write(to: URL(fileURLWithPath: prompts))
      let kit = folder + "/kit"
      let outcome = try await DistillJob(
        teacher: tiny, student: tiny, prompts: prompts, output: kit, isLinking: true
      ).run()
      #expect(try text(kit + "/captions.txt") == "a cat on a mat\n #1 of two\na dog\n")
      #expect(outcome.captions == 3)
    }
  }

  @Test func studentsOfOtherModelsAreRefused() async throws {
    try await withTemporaryFolder { folder in
      let velocity = folder + "/velocity"
      _ = try await ConvertJob(
        model: miniature, reading: InputOptions(prediction: "v_prediction"),
        output: OutputRequest(path: velocity), type: nil
      ).run()
      let quantized = folder + "/quantized.decant"
      _ = try await QuantizeJob(
        model: miniature, reading: InputOptions(), output: OutputRequest(path: quantized),
        isDryRun: false, request: QuantizationRequest(type: "int8", method: "round"),
        calibration: nil
      ).run()
      let kit = folder + "/kit"
      let cases = [
        (velocity, "prediction type v_prediction, but epsilon in the teacher \(miniature)"),
        (miniatureXL, "architecture sdxl, but sd-v1 in the teacher \(miniature)"),
        (tiny, "width of the text 32, but 64 in the teacher \(miniature)"),
        (quantized, "a diffusers folder cannot hold int8 weights"),
      ]
      for (path, fact) in cases {
        let error = await #expect(throws: JobError.self, "\(path)") {
          try await DistillJob(teacher: miniature, student: path, output: kit).run()
        }
        #expect(error?.description.contains(fact) == true, "\(error?.description ?? "")")
        #expect(!FileManager.default.fileExists(atPath: kit))
      }
      #expect(try names(folder) == ["quantized.decant", "velocity"])
    }
  }

  @Test func onlyANewKitIsReplaced() async throws {
    try await withTemporaryFolder { folder in
      let kit = folder + "/kit"
      func distill(replacing: Bool) async throws -> DistillationKit {
        try await DistillJob(
          teacher: tiny, student: tiny, output: kit, isLinking: true, replacing: replacing
        ).run()
      }
      _ = try await distill(replacing: false)
      let before = try text(kit + "/settings.json")
      await #expect(throws: FileError(.exists, kit)) { try await distill(replacing: false) }
      try Data("{}".utf8).write(to: URL(fileURLWithPath: kit + "/settings.json"))
      _ = try await distill(replacing: true)
      #expect(try text(kit + "/settings.json") == before)

      try FileManager.default.createDirectory(
        atPath: kit + "/result", withIntermediateDirectories: false)
      let error = await #expect(throws: JobError.self) { try await distill(replacing: true) }
      #expect(
        error?.description == "\(kit): the folder holds 'result', which does not belong to a new "
          + "kit; only a new kit is replaced")
      #expect(error?.remedy == .renameOutput)
      #expect(try names(folder) == ["kit"])
    }
  }
}

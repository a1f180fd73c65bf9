import Foundation
import Support
import TestSupport
import Testing
import Workflow

/// Types and steps that are chosen for a target.
@Suite struct TargetTests {
  private func quantized(
    _ target: QuantizationTarget, _ name: String, program: String? = nil, codes: Bool? = nil,
    calibration: String? = nil, model: String = miniature, in folder: String
  ) async throws -> (path: String, outcome: QuantizeOutcome) {
    let output = OutputRequest(path: folder + "/" + name, program: program, codes: codes)
    let outcome = try await QuantizeJob(
      model: model, reading: InputOptions(), output: output, isDryRun: false,
      request: QuantizationRequest(type: nil, target: target), calibration: calibration
    ).run()
    return (output.path, outcome)
  }

  private func size(_ path: String) throws -> Int {
    try contents(path).values.reduce(0) { $0 + $1.count }
  }

  /// Never above the target, and no less than 99 % of it, in every layout.
  @Test(
    arguments: [
      ("a.decant", nil, nil, 5_800_000), ("a.decant", nil, nil, 7_000_000),
      ("a.decant", nil, false, 6_500_000), ("a.gguf", "comfyui", nil, 4_000_000),
      ("a.gguf", "sdcpp", nil, 12_300_000), ("a", "sdnq", nil, 8_000_000),
      ("a.safetensors", "comfyui", nil, 12_500_000),
    ] as [(String, String?, Bool?, Int)])
  func theWholeOutputHasTheSize(
    name: String, program: String?, codes: Bool?, target: Int
  ) async throws {
    try await withTemporaryFolder { folder in
      let (path, outcome) = try await quantized(
        .size(target), name, program: program, codes: codes, in: folder)
      let found = try size(path)
      #expect(found <= target && found * 100 >= target * 99, "\(found) for \(target)")
      let budget = try #require(outcome.json["budget"])
      #expect(budget["figure"]?.integer == found)
      #expect(budget["target"]?["size"]?.integer == target)
      #expect(outcome.text.contains("size of the output: "))
      // Nothing else is left.
      let names = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(names == [name])
    }
  }

  @Test func bitsAreThoseOfTheFile() async throws {
    try await withTemporaryFolder { folder in
      let (path, outcome) = try await quantized(.bits(5), "a.decant", in: folder)
      let figure = try #require(outcome.json["budget"]?["figure"]?.number)
      #expect(figure <= 5 && figure >= 4.95)
      // Of 5.4 million weights.
      let larger = try await quantized(.bits(6), "b.decant", in: folder).path
      let difference = try size(larger) - size(path)
      #expect(difference > 600_000 && difference < 720_000, "\(difference)")
    }
  }

  @Test func memoryIsThatOfTheProgram() async throws {
    try await withTemporaryFolder { folder in
      let (_, outcome) = try await quantized(
        .memory(6_000_000), "a.gguf", program: "comfyui", in: folder)
      let found = try #require(outcome.json["memory"]?["bytes"]?.integer)
      #expect(found <= 6_000_000 && found > 5_700_000, "\(found)")
    }
  }

  @Test func targetsOutOfReachAreRefusedBeforeWork() async throws {
    try await withTemporaryFolder { folder in
      for (target, name, program, text, remedy) in [
        (
          .size(1_000_000), "a.decant", nil,
          "the size of the output cannot be 1.00 MB or less; the smallest that can be reached is ",
          .adjust(.outputSize, .larger)
        ),
        (
          .size(100_000_000), "a.decant", nil,
          "the size of the output is below 100 MB with every choice; the largest is ",
          .adjust(.outputSize, .smaller)
        ),
        (
          .bits(1), "a.decant", nil,
          "the size of the U-Net's convolutions and linear layers cannot be 1.000 bits a weight or less",
          .adjust(.targetBits, .larger)
        ),
        (
          .memory(1_000_000), "a.gguf", "comfyui",
          "the memory for one image cannot be 1.00 MB or less",
          .adjust(.vram, .larger)
        ),
        (.error(0.01), "a.decant", nil, "a target for the error needs ", .choose(.calibration)),
      ] as [(QuantizationTarget, String, String?, String, Remedy)] {
        let error = await #expect(throws: JobError.self) {
          _ = try await quantized(target, name, program: program, in: folder)
        }
        #expect(error?.description.contains(text) == true, "\(error?.description ?? "")")
        #expect(error?.remedy == remedy)
      }
      let error = await #expect(throws: JobError.self) {
        _ = try await quantized(.memory(9_000_000), "a.decant", in: folder)
      }
      #expect(error?.description.hasPrefix("Decant computes on the processor") == true)
      let left = try FileManager.default.contentsOfDirectory(atPath: folder)
      #expect(left.isEmpty)
    }
  }

  /// The plan of a dry run, given back, makes the same layers.
  @Test func aPlanCanBeGivenBack() async throws {
    try await withTemporaryFolder { folder in
      func job(
        _ request: QuantizationRequest, _ output: String?
      ) -> QuantizeJob {
        QuantizeJob(
          model: miniature, reading: InputOptions(),
          output: output.map { OutputRequest(path: folder + "/" + $0, replacing: true) },
          isDryRun: output == nil, request: request, calibration: nil)
      }
      let target = QuantizationRequest(type: nil, textEncoderType: "int8", target: .bits(4.5))
      let planned = try await job(target, nil).run()
      #expect(planned.text.contains("about 4."))
      let path = folder + "/plan.json"
      try planned.jsonText.write(toFile: path, atomically: true, encoding: .utf8)
      let plan = QuantizationRequest(type: nil, plan: path)
      let again = try await job(plan, nil).run()
      func layers(_ outcome: QuantizeOutcome) throws -> [[String]] {
        let entries = try #require(outcome.json["plan"]?.array)
        return entries.map { entry in
          [
            entry["component"]?.string ?? "", entry["tensor"]?.string ?? "",
            entry["scheme"]?.string ?? "", entry["step"]?.text() ?? "",
          ]
        }
      }
      let wanted = try layers(planned)
      let found = try layers(again)
      #expect(found == wanted)
      #expect(wanted.contains { $0[0] == "unet" && !$0[3].isEmpty })
      #expect(wanted.contains { $0[0] == "text_encoder" && $0[2] == "int8" })
      // The plan of a model that was written is the same kind of file.
      let written = try await job(target, "a.decant").run()
      try written.jsonText.write(toFile: path, atomically: true, encoding: .utf8)
      _ = try await job(plan, "b.decant").run()
      let first = try weights(packed(folder + "/a.decant"))
      let second = try weights(packed(folder + "/b.decant"))
      #expect(first == second)
    }
  }

  @Test func otherPlansAreRefused() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/plan.json"
      for (text, found) in [
        ("[", "the plan is not JSON: "), ("{}", "the plan has no array 'plan'"),
        ("[{}]", "the plan has a layer without 'tensor' or 'scheme'"),
        (
          #"[{"tensor": "a", "scheme": "int3"}]"#,
          "the plan has the type 'int3' for 'a', which is unknown"
        ),
        (
          #"[{"tensor": "a", "scheme": "int4-g32", "step": 0.1}]"#,
          "the plan has the step 0.1 for 'a' in int4-g32"
        ),
        (
          #"[{"tensor": "a", "scheme": "int8", "step": -1}]"#,
          "the plan has the step -1 for 'a' in int8"
        ),
        (
          #"[{"tensor": "a", "scheme": "f16"}, {"tensor": "a", "scheme": "f16"}]"#,
          "the plan has 'a' twice"
        ),
        (#"[{"tensor": "a", "scheme": "f16"}]"#, "the plan has a, which 'unet' lacks"),
        (
          #"[{"tensor": "conv_in.weight", "scheme": "f16"}]"#, "the plan lacks "
        ),
        (
          #"[{"component": "b", "tensor": "a", "scheme": "f16"}]"#,
          "the plan has the component 'b', which the model lacks"
        ),
      ] {
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        let error = await #expect(throws: JobError.self) {
          _ = try await QuantizeJob(
            model: tiny, reading: InputOptions(), output: nil, isDryRun: true,
            request: QuantizationRequest(type: nil, plan: path), calibration: nil
          ).run()
        }
        let message = error?.description ?? ""
        #expect(message.hasPrefix("\(path): \(found)"), "\(message)")
      }
    }
  }

  private func calibration(in folder: String) async throws -> String {
    let path = folder + "/c"
    _ = try await CalibrateJob(of: miniature, to: path).run()
    return path
  }

  /// The error of the quantized model is measured, and meets the target.
  @Test func theErrorIsMeasured() async throws {
    try await withTemporaryFolder { folder in
      let calibration = try await calibration(in: folder)
      let (path, outcome) = try await quantized(
        .error(0.02), "a.decant", calibration: calibration, in: folder)
      let measured = try #require(outcome.json["budget"]?["measured_error"]?.number)
      #expect(measured <= 0.02 && measured > 0.005, "\(measured)")
      let predicted = try #require(outcome.json["budget"]?["predicted_error"]?.number)
      #expect(predicted > measured)
      let finer = try await quantized(
        .error(0.002), "b.decant", calibration: calibration, in: folder)
      let (small, large) = try (size(path), size(finer.path))
      #expect(large > small)
    }
  }

  @Test func plansStateErrorsBySize() async throws {
    try await withTemporaryFolder { folder in
      let calibration = try await calibration(in: folder)
      let chart = folder + "/chart.svg"
      let outcome = try await PlanJob(
        model: miniature, reading: InputOptions(), calibration: calibration, sizes: [],
        chart: (path: chart, replacing: false)
      ).run()
      let drawn = try #require(outcome.json["curves"]?.array)
      #expect(drawn.map { $0["coded"]?.bool } == [true, false])
      for curve in drawn {
        let points = try #require(curve["points"]?.array)
        let chosen = points.filter { $0["type"]?.isNull == true }
        let bytes = chosen.compactMap { $0["bytes"]?.integer }
        let errors = chosen.compactMap { $0["predicted_error"]?.number }
        #expect(chosen.count == 10 && bytes == bytes.sorted())
        #expect(errors == errors.sorted(by: >) && errors[0] > 10 * errors[8])
      }
      let types = try #require(drawn[1]["points"]?.array).compactMap { $0["type"]?.string }
      #expect(Set(types).isSuperset(of: ["int8", "int4-g32", "f16"]))
      let svg = try String(contentsOfFile: chart, encoding: .utf8)
      #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n"))
      #expect(svg.components(separatedBy: "<polyline ").count == 3 && svg.contains(">int4-g32<"))
      // Errors below 0.01 % are drawn at the bottom.
      #expect(svg.contains(">0.01 %<") && !svg.contains(">0.001 %<") && !svg.contains("nan"))
      #expect(outcome.text.contains("chart: \(chart)"))

      let sized = try await PlanJob(
        model: miniature, reading: InputOptions(), calibration: calibration,
        sizes: [4_000_000, 5_000_000], layout: LayoutRequest(program: "comfyui")
      ).run()
      let points = try #require(sized.json["curves"]?.array?.last?["points"]?.array)
      let bytes = points.prefix(2).compactMap { $0["bytes"]?.integer }
      #expect(bytes.count == 2 && bytes[0] <= 4_000_000 && bytes[0] > 3_900_000)
      // ComfyUI's own files are larger.
      let curves = try #require(sized.json["curves"]?.array)
      #expect(curves.map { $0["layout"]?.string } == ["checkpoint", "gguf"])
      let reached = curves[0]["points"]?.array?.filter { $0["type"]?.isNull == true }
      #expect(reached?.isEmpty == true)
      #expect(
        sized.text.contains("4.00 MB and 5.00 MB cannot be reached; the smallest is "))
      let error = await #expect(throws: JobError.self) {
        _ = try await PlanJob(
          model: miniature, reading: InputOptions(), calibration: calibration, sizes: [1_000_000]
        ).run()
      }
      #expect(
        error?.description.contains("no output can be as small as 1.00 MB; the smallest is ")
          == true)
    }
  }
}

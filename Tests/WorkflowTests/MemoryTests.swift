import Checkpoints
import ModelSources
import Models
import Packfiles
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// The memory that programs need, as jobs state it.
@Suite struct MemoryTests {
  /// Tensors that a program reads as 8-bit blocks, and float16 ones.
  private struct Blocks: WeightSource {
    let base: any WeightSource
    let profile: any OutputProfile
    let component: String

    var location: String { base.location }
    var names: [String] { base.names }

    func entry(_ name: String) -> TensorEntry? {
      guard let entry = base.entry(name) else { return nil }
      let block = TensorEntry(
        shape: entry.shape, encoding: .symmetric(bits: 8, groupSize: 32))
      let isBlock =
        component == ComponentName.unet && entry.shape.rank >= 2
        && profile.holds(block, of: name, in: component)
      return isBlock ? block : entry
    }

    func tensor(_ name: String) throws -> StoredTensor { throw absent(name) }
  }

  /// stable-diffusion.cpp 97d2990 took 2.49 GB for sd-v1-4 at 256x256 from a float16 single file,
  /// and 2.25 GB from an int8 GGUF file.
  @Test(arguments: [(false, 2.49e9), (true, 2.25e9)])
  func stableDiffusionCppIsAsMeasured(isQuantized: Bool, measured: Double) throws {
    var model = try #require(
      try Family.named("sd-v1-4")?.synthesize(seed: 0, kind: .f16))
    let profile = try GGUFWriter().profile(WriteOptions(program: "sdcpp"))
    if isQuantized {
      for index in model.components.indices {
        let component = model.components[index]
        model.components[index].weights = Blocks(
          base: component.weights, profile: profile, component: component.name)
      }
    }
    let estimate = try MemoryEstimate(
      model, in: profile.memory, size: ImageSize(width: 256, height: 256))
    #expect(estimate.peak?.name == .decoder)
    let total = Double(try #require(estimate.peak?.total))
    #expect(abs(total / measured - 1) < 0.01, "\(total)")
  }

  /// `generate` of SD 1 at 512x512 from a float32 folder took 5.1 GB.
  @Test func decantIsAsMeasured() throws {
    let model = try #require(
      try Family.named("sd-v1-4")?.synthesize(seed: 0, kind: .f32))
    let profile = try PackfileWriter().profile(WriteOptions())
    let estimate = try MemoryEstimate(
      model, in: profile.memory, size: ImageSize(width: 512, height: 512))
    let total = Double(try #require(estimate.peak?.total))
    #expect(abs(total / 5.1e9 - 1) < 0.01)
  }

  /// The table of `inspect` has a row for each program that reads the model as it is stored.
  @Test func inspectListsThePrograms() async throws {
    try await withTemporaryFolder { folder in
      func table(_ path: String) async throws -> [JSONValue] {
        let outcome = try await InspectJob(
          model: path, reading: InputOptions(), listsTensors: false, checks: false
        ).run()
        #expect(outcome.text.contains("memory to make one image"))
        let lines = outcome.text.split(separator: "\n")
        let rows = lines.drop { !$0.hasPrefix("program ") }
        #expect(rows.count > 1 && rows.allSatisfy { $0.count <= 80 }, "\(outcome.text)")
        return try #require(outcome.json["memory"]?.array)
      }
      let plain = try await table(miniature)
      let names = plain.compactMap { $0["program"]?.string }
      #expect(Set(["decant", "diffusers", "checkpoint"]).isSubset(of: names))
      // ComfyUI needs as much from either layout.
      #expect(Set(names).count == names.count, "\(names)")
      for row in plain {
        let sizes = try #require(row["sizes"]?.array)
        #expect(sizes.map { $0["width"] } == [512, 1024])
        let bytes = sizes.compactMap { $0["bytes"]?.integer }
        // ComfyUI decodes in tiles of one size.
        #expect(bytes.count == 2 && (bytes[0] < bytes[1] || row["program"] == "comfyui"))
      }
      // Int8 rows: stock diffusers reads none.
      let int8 = folder + "/int8.decant"
      let written = try await QuantizeJob(
        model: miniature, reading: InputOptions(), output: OutputRequest(path: int8),
        isDryRun: false, request: QuantizationRequest(type: "int8"), calibration: nil
      ).run()
      // `inspect` states the size that `quantize` then gives.
      let components = try #require(written.json["components"]?.array)
      let bytes = components.compactMap { $0["bytes"]?["after"]?.integer }.reduce(0, +)
      let inspection = try await InspectJob(
        model: miniature, reading: InputOptions(), listsTensors: false, checks: false
      ).run()
      #expect(inspection.json["resident_bytes"]?["int8"]?.integer == bytes)
      #expect(
        inspection.text.contains("\n(the program itself and its libraries are not counted):\n"))
      let quantized = try await table(int8).compactMap { $0["program"]?.string }
      #expect(quantized.contains("decant") && quantized.contains("sdnq"))
      #expect(!quantized.contains("diffusers") && !quantized.contains("checkpoint"))
    }
  }

  /// The forms with sizes near those of the files that the commands write.
  @Test func formsHaveTheSizesOfTheirFiles() async throws {
    try await withTemporaryFolder { folder in
      func forms(_ path: String, _ budget: Int) async throws -> ModelForms {
        let outcome = try await InspectJob(
          model: path, reading: InputOptions(), listsTensors: false, checks: false,
          budget: budget
        ).run()
        #expect(outcome.json["forms"]?["budget"]?.integer == budget)
        let forms = try #require(outcome.forms)
        let rows = try #require(outcome.json["forms"]?["rows"]?.array)
        #expect(rows.map { $0["output"]?.string } == forms.forms.map(\.output))
        #expect(rows.map { $0["title"]?.string } == forms.forms.map(\.title))
        return forms
      }
      let all = try await forms(miniature, 1_000_000_000)
      #expect(all.forms.allSatisfy { $0.fits })
      // Decant itself uses no GPU.
      #expect(!all.forms.isEmpty && !all.forms.contains { $0.program == "decant" })
      #expect(Set(all.forms.map(\.output)).count == all.forms.count)
      // Neither f32 nor a type that saves less than 3 % of a better one.
      let types = Set(all.forms.compactMap(\.type))
      #expect(types == ["f16", "int8", "q5_k", "int4-g32"], "\(types)")
      for program in Set(all.forms.map(\.title)) {
        let sizes = all.forms.filter { $0.title == program }.map(\.bytes)
        let sorted = sizes.sorted(by: >)
        #expect(sizes == sorted, "\(program)")
      }
      let alone = all.forms.filter(\.isUNetAlone)
      #expect(Set(alone.map(\.title)) == ["ComfyUI-GGUF"] && !alone.isEmpty)
      let plain = all.forms.filter { $0.plainConvolutionType == "f16" }
      #expect(
        Set(plain.map(\.title)) == ["ComfyUI", "stable-diffusion.cpp", "diffusers (GGUF)"])
      #expect(plain.allSatisfy { $0.isQuantized })
      let none = try await forms(miniature, 1_000_000)
      #expect(none.forms.count == all.forms.count && !none.forms.contains { $0.fits })

      let int8 = try #require(all.forms.first { $0.program == "sdnq" && $0.type == "int8" })
      #expect(int8.isQuantized && !int8.isDefault && int8.output == "mini-sd-int8-sdnq/")
      let half = try #require(all.forms.first { $0.program == "diffusers" && $0.type == "f16" })
      #expect(!half.isQuantized && half.isDefault && half.bytes > int8.bytes)
      let path = folder + "/" + int8.output
      let written = try await QuantizeJob(
        model: miniature, reading: InputOptions(),
        output: OutputRequest(path: path, program: int8.program), isDryRun: false,
        request: QuantizationRequest(type: "int8"), calibration: nil
      ).run()
      let components = try #require(written.json["components"]?.array)
      let bytes = components.compactMap { $0["bytes"]?["after"]?.integer }.reduce(0, +)
      #expect(int8.bytes == bytes)
      // The same estimate follows the writing.
      #expect(written.json["memory"]?["bytes"]?.integer == int8.memory)
      #expect(written.text.contains("in diffusers with SDNQ, peak: "))

      // What is quantized already has the form as stored, and plain ones.
      let again = try await forms(path, 1_000_000_000).forms
      #expect(again.contains { $0.program == "sdnq" && $0.type == nil && $0.bytes == bytes })
      #expect(!again.contains { $0.isQuantized })
    }
  }

  /// Forms that fit come first. Text encoders are quantized where only that makes a form fit.
  @Test func textEncodersAreQuantizedWhereThatHelps() async throws {
    func forms(_ budget: Int) async throws -> [ModelForms.Form] {
      let outcome = try await InspectJob(
        model: miniature, reading: InputOptions(), listsTensors: false, checks: false,
        budget: budget
      ).run()
      return try #require(outcome.forms).forms
    }
    let all = try await forms(1_000_000_000)
    #expect(!all.contains { $0.program == "sdnq" && $0.textEncoderType != nil })
    let int8 = try #require(all.first { $0.program == "sdnq" && $0.type == "int8" })
    let tight = try await forms(int8.memory - 1)
    let fit = tight.map(\.fits)
    let count = fit.count { $0 }
    #expect(count > 0 && count < fit.count && fit.prefix(count).allSatisfy { $0 }, "\(fit)")
    let sdnq = tight.filter { $0.program == "sdnq" }
    #expect(sdnq.map(\.fits) == [true, true, false], "\(sdnq)")
    let text = sdnq[0]
    #expect(text.type == "int8" && text.textEncoderType == "int8")
    #expect(text.output == "mini-sd-int8-text-int8-sdnq/")
    #expect(sdnq[1].type == "int4-g32" && sdnq[1].textEncoderType == nil)
    #expect(sdnq[2].memory == int8.memory)
    // ComfyUI does not read them quantized, and holds one component at a time.
    #expect(!tight.contains { $0.program == "comfyui" && $0.textEncoderType != nil })

    try await withTemporaryFolder { folder in
      let request = QuantizationRequest(type: "int8", textEncoderType: "int8", method: "round")
      let written = try await QuantizeJob(
        model: miniature, reading: InputOptions(),
        output: OutputRequest(path: folder + "/" + text.output, program: "sdnq"),
        isDryRun: false, request: request, calibration: nil
      ).run()
      #expect(written.json["memory"]?["bytes"]?.integer == text.memory)
    }
  }

  /// The refusal names the components to add, and comes before the check.
  @Test func onlyACompleteModelHasForms() async throws {
    let job = InspectJob(
      model: miniature + "/unet", reading: InputOptions(), listsTensors: false, checks: true,
      budget: 1)
    let log = EventLog()
    let error = await #expect(throws: BindingError.self) { try await job.run(log.add) }
    #expect(error?.remedy == .addComponents([.vae, .textEncoder]))
    #expect(log.stages.isEmpty)
  }
}

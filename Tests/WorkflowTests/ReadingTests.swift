import Checkpoints
import Foundation
import ModelSources
import Models
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// Models as people have them: in other names, with other tensors, or with parts missing.
@Suite struct ReadingTests {
  /// Writes tensors under other names, without metadata.
  private func write(
    _ source: any WeightSource, to path: String, adding others: [(String, StoredTensor)] = [],
    named name: (String) -> String = { $0 }
  ) throws {
    let tensors = try source.names.map { (name($0), try source.tensor($0)) }
    try writeSafetensors(MemorySource(location: path, tensors + others), to: path)
  }

  private func quantize(_ model: String, to output: String, program: String) async throws {
    _ = try await QuantizeJob(
      model: model, reading: InputOptions(),
      output: OutputRequest(path: output, program: program), isDryRun: false,
      request: QuantizationRequest(type: "int8", method: "round"), calibration: nil
    ).run()
  }

  /// A U-Net alone in every naming is quantized to the same weights as the U-Net of the model.
  @Test(arguments: ["a.gguf", "a.safetensors"])
  func aUNetAloneIsQuantized(output: String) async throws {
    try await withTemporaryFolder { folder in
      let bare = folder + "/bare.safetensors"
      _ = try await ExtractJob(
        model: miniature, reading: InputOptions(), part: .unet, output: bare, replacing: false,
        type: nil
      ).run()
      let ldm = try Archives.open(bare).weights
      let diffusers = try SafetensorsFile(
        path: miniature + "/unet/diffusion_pytorch_model.safetensors")
      var inputs = [miniature + "/unet", bare]
      for (index, prefix) in [
        "", "model.diffusion_model.", "diffusion_model.", "module.", "unet.",
      ].enumerated() {
        for (source, name) in [(ldm as any WeightSource, "ldm"), (diffusers, "diffusers")] {
          inputs.append("\(folder)/\(name)\(index).safetensors")
          try write(source, to: inputs[inputs.count - 1]) { prefix + $0 }
        }
      }
      try await quantize(miniature, to: folder + "/whole-" + output, program: "comfyui")
      let expected = try weights(Readers.all.read(folder + "/whole-" + output))
        .filter { $0.key.hasPrefix("unet/") }
      #expect(expected.values.contains { $0[0].hasSuffix(" int8") || $0[0].contains("int8-g32") })
      for input in inputs {
        let path = folder + "/" + output
        try await quantize(input, to: path, program: "comfyui")
        #expect(try weights(Readers.all.read(path)) == expected, "\(input)")
        try FileManager.default.removeItem(atPath: path)
      }
      // A layout of whole models is refused, and the refusal names what is missing.
      let error = await #expect(throws: BindingError.self) {
        try await quantize(bare, to: folder + "/a.decant", program: "decant")
      }
      #expect(error?.remedy == .addComponents([.vae, .textEncoder]))
    }
  }

  /// Tensors that no component uses are left out of every output; those of a layer are refused.
  @Test(arguments: ["a/", "a.safetensors", "a.gguf", "a.decant"])
  func unusedTensorsAreLeftOut(output: String) async throws {
    try await withTemporaryFolder { folder in
      let plain = folder + "/plain.safetensors"
      _ = try await ConvertJob(
        model: miniature, reading: InputOptions(), output: OutputRequest(path: plain), type: nil
      ).run()
      let source = try Archives.open(plain).weights
      let one = StoredTensor(shape: [1], floats: [1])
      let unet = "model.diffusion_model."
      for (index, name) in [
        "foo", unet + "foo.weight", "cond_stage_model.transformer.text_projection.weight",
        "first_stage_model.loss.logvar",
      ].enumerated() {
        let input = "\(folder)/\(index).safetensors"
        try write(source, to: input, adding: [(name, one)])
        _ = try await ConvertJob(
          model: input, reading: InputOptions(),
          output: OutputRequest(path: folder + "/" + output, replacing: true), type: nil
        ).run()
        let found =
          output == "a.decant"
          ? try packed(folder + "/" + output) : try Readers.all.read(folder + "/" + output)
        #expect(try weights(found) == weights(Readers.all.read(plain)), "\(name)")
        let facts = try await InspectJob(
          model: input, reading: InputOptions(), listsTensors: false, checks: false
        ).run()
        #expect(facts.text.contains("\nleft out: "), "\(facts.text)")
        #expect(facts.text.contains("'\(name)'"), "\(facts.text)")
        let kinds = facts.json["changes"]?.array?.map { $0["kind"] }
        // A file without configs gets those of its architecture, and CLIP's tokenizer. What tensors of
        // such sizes do not show is assumed.
        #expect(kinds == ["left_out", "added", "assumed", "added"], "\(name)")
      }
      let input = folder + "/scaled.safetensors"
      try write(source, to: input, adding: [(unet + "time_embed.0.weight_offset", one)])
      let error = await #expect(throws: BindingError.self) {
        try await ConvertJob(
          model: input, reading: InputOptions(),
          output: OutputRequest(path: folder + "/b.decant"), type: nil
        ).run()
      }
      #expect(
        error?.description == """
          \(input): tensors do not fit together: unet 1 in an unknown storage form
            unet: unknown storage form of layer 'time_embedding.linear_1': found \
          '\(unet)time_embed.0.weight_offset' [1] beside its weight
          """)
    }
  }

  /// A tensor that is missing is named as it would be in the file, with and without configs.
  @Test func missingTensorsHaveTheNamesOfTheFile() async throws {
    try await withTemporaryFolder { folder in
      let whole = folder + "/whole.safetensors"
      _ = try await ConvertJob(
        model: miniature, reading: InputOptions(), output: OutputRequest(path: whole), type: nil
      ).run()
      let source = try SafetensorsFile(path: whole)
      for (component, prefix, tensor) in [
        ("vae", "first_stage_model.", "decoder.conv_out.bias"),
        ("vae", "first_stage_model.", "encoder.mid.attn_1.k.bias"),
        ("unet", "model.diffusion_model.", "out.2.bias"),
      ] {
        let name = prefix + tensor
        let shape = try #require(source.entry(name)).shape
        let others = ReducedSource(source, without: [name])
        for (metadata, found) in [([:], "together"), (source.metadata, "the configs")] {
          let path = folder + "/a.safetensors"
          try writeSafetensors(others, metadata: metadata, to: path, replacing: true)
          let error = #expect(throws: BindingError.self) {
            try Model.bind(try Readers.all.read(path))
          }
          #expect(
            error?.description == """
              \(path): tensors do not fit \(found): \(component) 1 missing
                \(component): missing '\(name)' \(shape)
              """)
        }
      }
      // Names without a prefix, and diffusers' names.
      let vae = try #require(try Readers.all.read(miniature)["vae"])
      let path = folder + "/vae.safetensors"
      try writeSafetensors(
        ReducedSource(vae.weights, without: ["decoder.conv_out.bias"]), to: path)
      let read = try #require(try Readers.all.read(path)["vae"])
      let error = #expect(throws: BindingError.self) { try read.check(in: path) }
      #expect(
        error?.description == """
          \(path): tensors do not fit together: vae 1 missing
            vae: missing 'decoder.conv_out.bias' [3]
          """)
    }
  }

  /// A folder without a component is read where another model has it, and names the option else.
  @Test func partsThatAreMissingMayComeFromOthers() async throws {
    try await withTemporaryFolder { folder in
      for (component, setting) in [
        ("vae", Setting.vae), ("unet", .unet), ("text_encoder", .textEncoder),
      ] {
        for isDamaged in [false, true] {
          let model = folder + "/model"
          try FileManager.default.copyItem(atPath: miniature, toPath: model)
          let place = model + "/" + component
          if isDamaged {
            for file in try FileManager.default.contentsOfDirectory(atPath: place)
            where file != "config.json" {
              try FileManager.default.removeItem(atPath: place + "/" + file)
            }
          } else {
            try FileManager.default.removeItem(atPath: place)
          }
          func convert(_ parts: [(String, String)]) async throws {
            _ = try await ConvertJob(
              model: model,
              reading: InputOptions(
                composition: Composition(parts: parts.map { (component: $0.0, path: $0.1) })),
              output: OutputRequest(path: folder + "/out", replacing: true), type: nil
            ).run()
          }
          let error = await #expect(throws: DiffusersError.self) { try await convert([]) }
          #expect(error?.remedy == .addComponents([setting]), "\(component)")
          try await convert([(component, miniature)])
          #expect(
            try weights(Readers.all.read(folder + "/out")) == weights(Readers.all.read(miniature)))
          try FileManager.default.removeItem(atPath: model)
        }
      }
    }
  }

  /// As in diffusers, components without the variant are read without it. That is said.
  @Test func variantsOfSomeComponents() throws {
    try TestSupport.withTemporaryFolder { folder in
      let model = folder + "/model"
      try FileManager.default.copyItem(atPath: miniature, toPath: model)
      let plain = model + "/unet/diffusion_pytorch_model.safetensors"
      let half = model + "/unet/diffusion_pytorch_model.fp16.safetensors"
      try FileManager.default.copyItem(atPath: plain, toPath: half)
      func changes(_ variant: String?) throws -> [String] {
        try Readers.all.read(model, options: ReadOptions(variant: variant)).changes.map(\.text)
      }
      #expect(
        try changes(nil) == [
          "left out: unet: other weights in its folder: "
            + "'unet/diffusion_pytorch_model.fp16.safetensors'"
        ])
      #expect(
        try changes("fp16") == [
          "assumed: text_encoder: no variant 'fp16'; the plain weights were read: "
            + "'text_encoder/model.safetensors'",
          "left out: unet: other weights in its folder: "
            + "'unet/diffusion_pytorch_model.safetensors'",
          "assumed: vae: no variant 'fp16'; the plain weights were read: "
            + "'vae/diffusion_pytorch_model.safetensors'",
        ])
      try FileManager.default.removeItem(atPath: plain)
      #expect(
        try changes(nil) == [
          "assumed: unet: no plain weights; the variant 'fp16' was read: "
            + "'unet/diffusion_pytorch_model.fp16.safetensors'"
        ])
    }
  }
}

import Checkpoints
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// The tensors by which other programs recognize what an SDXL model was trained for.
struct PredictionMarkerTests {
  private func model(
    _ fixtureName: String = "mini-sdxl", velocity: Bool = true, endsInNoise: Bool = true,
    unetAlone: Bool = false
  ) throws -> ModelSource {
    var model = try Readers.all.read(fixture(fixtureName))
    model.scheduler?["prediction_type"] = velocity ? "v_prediction" : "epsilon"
    model.scheduler?["rescale_betas_zero_snr"] = .bool(endsInNoise)
    if unetAlone { model.components.removeAll { $0.name != "unet" } }
    return model
  }

  /// Names of markers in the file that a program gets.
  private func markers(
    _ model: ModelSource, for program: String, to path: String, by writer: some ModelWriter
  ) throws -> [String] {
    try writer.write(
      model, to: path, replacing: true, options: WriteOptions(program: program)
    ) { _, _ in }
    let weights = try Archives.open(path).weights
    let found = weights.names.filter { $0.hasSuffix("v_pred") || $0.hasSuffix("ztsnr") }
    for name in found {
      let tensor = try weights.tensor(name)
      #expect(tensor.entry == TensorEntry(shape: [1], encoding: .plain(.f32)))
      #expect(tensor.floats() == [1])
    }
    return found.sorted()
  }

  @Test func wholeModelsHaveThemAtTheTop() throws {
    try withTemporaryFolder { folder in
      let (single, gguf) = (folder + "/a.safetensors", folder + "/a.gguf")
      func inSingleFile(_ model: ModelSource, for program: String) throws -> [String] {
        try markers(model, for: program, to: single, by: CheckpointWriter())
      }
      for program in ["checkpoint", "comfyui"] {
        let both = try inSingleFile(try model(), for: program)
        #expect(both == ["v_pred", "ztsnr"])
      }
      let velocity = try inSingleFile(try model(endsInNoise: false), for: "checkpoint")
      #expect(velocity == ["v_pred"])
      let epsilon = try inSingleFile(
        try model(velocity: false, endsInNoise: false), for: "checkpoint")
      #expect(epsilon == [])
      // Other architectures have no marker.
      let other = try markers(try model("mini-sd"), for: "sdcpp", to: gguf, by: GGUFWriter())
      #expect(other == [])
    }
  }

  /// ComfyUI drops names without the prefix where it loads a U-Net alone.
  @Test func unetsAloneHaveThemBelowTheirPrefix() throws {
    try withTemporaryFolder { folder in
      let found = try markers(
        try model(unetAlone: true), for: "checkpoint", to: folder + "/a.safetensors",
        by: CheckpointWriter())
      #expect(found == ["model.diffusion_model.v_pred", "model.diffusion_model.ztsnr"])
      // ComfyUI-GGUF reads a U-Net without the prefix.
      let gguf = try markers(
        try model(), for: "comfyui", to: folder + "/a.gguf", by: GGUFWriter())
      #expect(gguf == ["v_pred", "ztsnr"])
    }
  }

  /// Without the config that Decant writes, the markers decide. They are no tensors of the model.
  @Test(arguments: [true, false])
  func theyAreRead(unetAlone: Bool) throws {
    try withTemporaryFolder { folder in
      let original = try model(unetAlone: unetAlone)
      let path = folder + "/a.safetensors"
      _ = try markers(original, for: "checkpoint", to: path, by: CheckpointWriter())
      let archive = try Archives.open(path)
      let found = try SingleFileReader().model(
        of: Archive(weights: archive.weights, metadata: [:], kind: archive.kind), path: path)
      #expect(found.scheduler?["prediction_type"] == "v_prediction")
      #expect(found.scheduler?["rescale_betas_zero_snr"] == true)
      #expect(found.changes.isEmpty && found.provenance["left_out"] == nil)
      for component in original.components {
        let names = found[component.name]?.weights.names ?? []
        #expect(
          Set(names)
            == Set(component.weights.names.filter { !$0.hasSuffix("position_ids") }))
      }
    }
  }
}

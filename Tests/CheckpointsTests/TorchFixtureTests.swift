import Checkpoints
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// Files that torch.save wrote, beside the same tensors in safetensors (`Fixtures/torch/make.py`).
struct TorchFixtureTests {
  @Test(arguments: [
    "views.pt", "views-legacy.pt", "kinds.pt", "kinds-legacy.pt", "protocol4.pt", "lightning.ckpt",
    "nested.pt",
  ])
  func tensorsAreBitIdentical(name: String) throws {
    let path = fixture("torch/" + name)
    let archive = try Archives.open(path)
    let expected = try SafetensorsFile(path: path + ".safetensors")
    #expect(archive.kind == "PyTorch file")
    #expect(Set(archive.weights.names) == Set(expected.names))
    #expect(!expected.names.isEmpty)
    for name in expected.names {
      #expect(archive.weights.entry(name) == expected.entry(name), "\(name)")
      let found = try archive.weights.tensor(name)
      #expect(found.entry == expected.entry(name), "\(name)")
      #expect(
        try found.parts[0].array == expected.tensor(name).parts[0].array, "\(name)")
    }
  }

  @Test func namesKeepTheOrderOfTheFile() throws {
    #expect(
      try Archives.open(fixture("torch/views.pt")).weights.names.prefix(4) == [
        "whole", "transposed", "permuted", "part",
      ])
  }

  @Test func otherMembersBecomeMetadata() throws {
    let metadata = try Archives.open(fixture("torch/lightning.ckpt")).metadata
    #expect(metadata["global_step"] == 840000)
    #expect(metadata["epoch"] == 6)
    #expect(metadata["pytorch-lightning_version"] == "1.4.2")
    #expect(metadata["lr_schedulers"] == [["last_epoch": 2, "_step_count": 3]])
    #expect(
      metadata["left_out"] == [
        "callbacks": "a dictionary", "optimizer_states": "a list",
        "hyper_parameters": "an object of 'omegaconf.dictconfig.DictConfig'",
      ])
  }

  @Test func contiguousNumbersAreReadInPlace() throws {
    let file = try TorchFile(path: fixture("torch/views.pt"))
    // Numbers in place have the alignment of the file. Gathered numbers have new memory.
    #expect(try file.tensor("whole").parts[0].alignmentOffset > 0)
    #expect(try file.tensor("part").parts[0].alignmentOffset > 0)
    #expect(try file.tensor("transposed").parts[0].alignmentOffset == 0)
  }

  @Test func missingTensorsAreNamed() throws {
    let file = try TorchFile(path: fixture("torch/views.pt"))
    #expect(file.entry("x") == nil)
    #expect(message { _ = try file.tensor("x") }.hasSuffix("tensor 'x': no tensor has this name"))
  }
}

import Support
import Testing
import Verification

struct BlockRenamesTests {
  private let strip: JSONValue = [
    "step": "strip",
    "renamed": [
      ["student": "up_blocks.1.resnets.1", "teacher": "up_blocks.1.resnets.2"],
      ["student": "up_blocks.0.resnets.0", "teacher": "up_blocks.1.resnets.0"],
    ],
  ]
  private let quantization: JSONValue = ["step": "quantize", "type": "int8"]

  @Test func blocksAndTheirTensors() {
    let renames = BlockRenames(["up_blocks.1.resnets.1": "up_blocks.1.resnets.2"])
    #expect(renames.original(of: "up_blocks.1.resnets.1") == "up_blocks.1.resnets.2")
    #expect(
      renames.original(of: "up_blocks.1.resnets.1.conv1.weight")
        == "up_blocks.1.resnets.2.conv1.weight")
    #expect(renames.original(of: "up_blocks.1.resnets.10.conv1") == "up_blocks.1.resnets.10.conv1")
    #expect(renames.original(of: "conv_in") == "conv_in")
  }

  @Test func stripsOfTheProvenanceAreChained() {
    let second: JSONValue = [
      "step": "strip",
      "renamed": [["student": "up_blocks.0.resnets.0", "teacher": "up_blocks.1.resnets.1"]],
    ]
    let renames = BlockRenames(
      candidate: ["steps": [strip, quantization, second]], reference: [:])
    #expect(renames.original(of: "up_blocks.0.resnets.0.norm1") == "up_blocks.1.resnets.2.norm1")
    #expect(renames.original(of: "up_blocks.1.resnets.1") == "up_blocks.1.resnets.2")
  }

  /// A model made from a stripped model has the same names as that model.
  @Test func sharedStepsDoNotCount() {
    let renames = BlockRenames(
      candidate: ["steps": [strip, quantization]], reference: ["steps": [strip]])
    #expect(renames.original(of: "up_blocks.1.resnets.1") == "up_blocks.1.resnets.1")
  }
}

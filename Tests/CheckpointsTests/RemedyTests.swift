import Checkpoints
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// The remedies that errors of other programs' formats carry. Descriptions hold facts alone.
struct RemedyTests {
  static let cases: [(any RemediableError, Remedy?)] = [
    (DiffusersError.averaged(folder: "m"), .leaveOut(.ema)),
    (
      DiffusersError.ambiguousVariant(folder: "m", component: "unet", found: ["fp16", "ema"]),
      .choose(.variant, ["fp16", "ema"])
    ),
    (
      DiffusersError.missingIndex(folder: "m", found: []),
      .act("name the folder of the whole pipeline")
    ),
    (
      DiffusersError.malformedProvenance(path: "m", member: "a", found: "b", expected: "c"),
      .act("delete the file if the model's history does not matter")
    ),
    (DiffusersError.missingShard(index: "m", shard: "s"), .act("download the folder again")),
    (DiffusersError.malformedEntry(path: "m", member: "a"), nil),
    (
      DiffusersWriteError.notReplaceable(path: "m", found: "a file"),
      .act("choose another name or remove it")
    ),
    (DiffusersWriteError.shardTooSmall(path: "m", bytes: 0), .act("give a larger size")),
    (
      SafetensorsWriteError.unsupportedEncoding(path: "m", tensor: "w", encoding: .int8),
      .either([.choose(.type, ["f16"]), .act("write a .decant file")])
    ),
    (SafetensorsError.tooShort(path: "m", bytes: 3), .act("download it again")),
    (
      GGUFError.unsupportedEncoding(path: "m", name: "w", encoding: .int8),
      .either([
        .act("quantize the original model into a GGUF file"), .choose(.type, ["f16"]),
      ])
    ),
    (GGUFError.truncated(path: "m", at: 3, reading: "a key"), .act("download it again")),
    (
      TorchError.bigEndian(path: "m", found: "big"),
      .act("save the file on a little-endian machine")
    ),
    (
      TorchError.notDictionary(path: "m", found: "a list"), .act("save the model's state_dict()")
    ),
  ]

  @Test(arguments: cases.indices) func errorsCarryRemedies(index: Int) {
    let (error, remedy) = Self.cases[index]
    #expect(error.remedy == remedy)
    #expect(!error.description.contains("--"))
  }

  /// Git LFS leaves a small text file in place of weights that were not downloaded.
  @Test func pointersOfGitLFSAreRecognized() throws {
    let pointer = [UInt8]("version https://git-lfs.github.com/spec/v1\noid sha256:0\n".utf8)
    try withTemporaryFolder { folder in
      for name in ["m.safetensors", "m.bin"] { try write(pointer, to: folder + "/" + name) }
      let remedy = Remedy.act("run `git lfs pull`")
      let layout = #expect(throws: LayoutError.self) {
        try Readers.all.read(folder + "/m.safetensors")
      }
      #expect(layout?.remedy == remedy)
      let safetensors = #expect(throws: SafetensorsError.self) {
        try SafetensorsFile(path: folder + "/m.safetensors")
      }
      #expect(
        safetensors?.description
          == "\(folder)/m.safetensors: the file is a Git LFS pointer, not weights")
      #expect(safetensors?.remedy == remedy)
      let torch = #expect(throws: TorchError.self) { try TorchFile(path: folder + "/m.bin") }
      #expect(torch?.remedy == remedy)
    }
  }
}

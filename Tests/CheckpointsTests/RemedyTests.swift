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
    (DiffusersError.missingFolder(folder: "m", component: "scheduler"), .downloadAgain),
    (DiffusersError.missingShard(index: "m", shard: "s"), .downloadAgain),
    (DiffusersError.missingShardIndex(folder: "m", shard: "s", lookedFor: "i"), .downloadAgain),
    (DiffusersError.absentFromShard(index: "m", tensor: "w", shard: "s"), .downloadAgain),
    (DiffusersError.malformedEntry(path: "m", member: "a"), nil),
    (DiffusersError.quantized(path: "m", found: "a", expected: "b"), .readOriginal),
    (QuantizedFormError.malformed(path: "m", member: "a"), .readOriginal),
    (QuantizedFormError.unread(path: "m", form: "a", tensor: "b"), .readOriginal),
    (
      DiffusersWriteError.notReplaceable(path: "m", found: "a file"),
      .either([.renameOutput, .act("remove it")])
    ),
    (DiffusersWriteError.shardTooSmall(path: "m", bytes: 0), .adjust(.maximumShardSize, .larger)),
    (
      SafetensorsWriteError.unsupportedEncoding(path: "m", tensor: "w", encoding: .int8),
      .either([.choose(.type, ["f16"]), .choose(.outputFormat, ["decant"])])
    ),
    (SafetensorsError.tooShort(path: "m", bytes: 3), .downloadAgain),
    (
      SafetensorsError.beyondFile(path: "m", tensor: "w", end: 8, available: 7), .downloadAgain
    ),
    (
      GGUFError.unsupportedEncoding(path: "m", name: "w", encoding: .int8),
      .either([
        .quantizeOriginal, .choose(.type, ["f16"]),
      ])
    ),
    (GGUFError.truncated(path: "m", at: 3, reading: "a key"), .downloadAgain),
    (GGUFError.beyondFile(path: "m", name: "w", begin: 2, size: 2, bytes: 3), .downloadAgain),
    (
      TorchError.bigEndian(path: "m", found: "big"),
      .act("save the file on a little-endian machine")
    ),
    (
      TorchError.notDictionary(path: "m", found: "a list"), .act("save the model's state_dict()")
    ),
    (
      TorchError.storageTruncated(path: "m", storage: "0", bytes: 8, available: 4), .downloadAgain
    ),
    (TorchError.archive(path: "m", .noEnd), .downloadAgain),
    (TorchError.archive(path: "m", .encrypted("m/data/0")), .act("decrypt it first")),
    (
      TorchError.archive(path: "m", .compressed("m/data/0", method: 8)),
      .act("unpack the archive and pack it again without compression (zip -0)")
    ),
    (TorchError.archive(path: "m", .manyVolumes), nil),
    (TorchError.pickle(path: "m", record: "r", offset: 2, .ends), .downloadAgain),
    (
      TorchError.pickle(path: "m", record: "r", offset: 2, .runsCode("os.system")),
      .act("delete the file, and get the model as safetensors")
    ),
    (
      TorchError.pickle(path: "m", record: "r", offset: 2, .unknownTensor("t")),
      .act("save plain tensors")
    ),
    (
      TorchError.pickle(path: "m", record: "r", offset: 2, .unknownNumbers("t")),
      .act("save plain tensors")
    ),
    (TorchError.pickle(path: "m", record: "r", offset: 2, .trailingBytes(1)), nil),
    (TorchError.pickleTooLarge(path: "m", record: "r", bytes: 2, limit: 1), nil),
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
      let sentence = "the file is a Git LFS pointer, not weights"
      let layout = #expect(throws: LayoutError.self) {
        try Readers.all.read(folder + "/m.safetensors")
      }
      #expect(layout?.description == "\(folder)/m.safetensors: \(sentence)")
      #expect(layout?.remedy == .pullFromGitLFS)
      let safetensors = #expect(throws: SafetensorsError.self) {
        try SafetensorsFile(path: folder + "/m.safetensors")
      }
      #expect(safetensors?.description == "\(folder)/m.safetensors: \(sentence)")
      #expect(safetensors?.remedy == .pullFromGitLFS)
      let torch = #expect(throws: TorchError.self) { try TorchFile(path: folder + "/m.bin") }
      #expect(torch?.description == "\(folder)/m.bin: \(sentence)")
      #expect(torch?.remedy == .pullFromGitLFS)
    }
  }
}

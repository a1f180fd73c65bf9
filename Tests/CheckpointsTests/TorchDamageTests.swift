import Checkpoints
import Support
import Tensors
import TestSupport
import Testing

/// Every truncation and every flipped bit of small files of both forms.
struct TorchDamageTests {
  static let samples: [[UInt8]] = [
    zip(ZIPHostileTests.good),
    oldTorchFile(
      Pickle.dictionary([
        ("a", Pickle.tensor(Pickle.storage(count: 2, view: Pickle.none), [2], [1])),
        ("step", Pickle.int(3)),
      ]), keys: [Pickle.text("0")], storages: [(2, floatBytes([1, 2]))]),
  ]

  @Test(arguments: [0, 1])
  func everyTruncationIsRefused(sample: Int) {
    let bytes = Self.samples[sample]
    #expect(torchRefusal(bytes) == "no error")
    for count in 0..<bytes.count {
      let text = torchRefusal(Array(bytes.prefix(count)))
      #expect(text.hasPrefix("f: "), "\(count) bytes: \(text)")
    }
  }

  @Test(arguments: [0, 1])
  func everyFlippedBitIsRefusedOrHarmless(sample: Int) {
    var bytes = Self.samples[sample]
    var refused = 0
    for index in bytes.indices {
      for bit in 0..<8 {
        bytes[index] ^= 1 << UInt8(bit)
        let text = torchRefusal(bytes)
        #expect(text == "no error" || text.hasPrefix("f: "), "byte \(index): \(text)")
        if text != "no error" { refused += 1 }
        bytes[index] ^= 1 << UInt8(bit)
      }
    }
    // Numbers, names and dates have no checks. Damage elsewhere is detected.
    #expect(refused > 3 * bytes.count, "\(refused) of \(8 * bytes.count)")
  }

  @Test(arguments: ["views.pt", "lightning.ckpt", "protocol4.pt", "views-legacy.pt"])
  func truncatedPyTorchFilesAreRefused(name: String) throws {
    let whole = try bytes(fixture("torch/" + name))
    for count in stride(from: 0, to: whole.count, by: 7) {
      #expect(torchRefusal(Array(whole.prefix(count))).hasPrefix("f: "))
    }
    var damaged = whole
    for index in stride(from: 0, to: whole.count, by: 3) {
      damaged[index] ^= 0x10
      let text = torchRefusal(damaged)
      #expect(text == "no error" || text.hasPrefix("f: "), "byte \(index): \(text)")
      damaged[index] ^= 0x10
    }
  }

  /// Several damaged bytes in the legacy format, which has no checksums.
  @Test func severalDamagedBytesAreRefusedOrHarmless() throws {
    let whole = try bytes(fixture("torch/views-legacy.pt"))
    var state: UInt64 = 1
    func random(below limit: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % limit
    }
    for round in 0..<5000 {
      var damaged = whole
      for _ in 0...random(below: 4) {
        // Storages may hold any numbers, so most damage is in the pickles.
        damaged[15 + random(below: whole.count - 300)] = UInt8(random(below: 256))
      }
      let text = torchRefusal(damaged)
      #expect(text == "no error" || text.hasPrefix("f: "), "round \(round): \(text)")
    }
  }
}

/// The legacy format of PyTorch before 1.6.
struct TorchLegacyTests {
  private static let value = Pickle.dictionary([
    ("a", Pickle.tensor(Pickle.storage(count: 2, view: Pickle.none), [2], [1]))
  ])
  private static let keys = [Pickle.text("0")]
  private static let storages = [(count: 2, bytes: floatBytes([1, 2]))]

  @Test func theSampleIsSound() throws {
    let file = try TorchFile(
      ByteSlice(oldTorchFile(Self.value, keys: Self.keys, storages: Self.storages)), path: "f")
    #expect(try file.tensor("a").floats() == [1, 2])
  }

  static let damaged: [(bytes: [UInt8], found: String)] = [
    ([], "an empty file, expected a file of torch.save"),
    (
      Array("version https".utf8),
      "a text file, expected a file of torch.save"
    ),
    (
      Pickle.whole(Pickle.int(1)) + [UInt8](repeating: 0, count: 20),
      "a Python pickle without PyTorch's magic number, expected a file of torch.save"
    ),
    (
      oldTorchFile(value, keys: keys, storages: storages, version: 1002),
      "a pickle of version an integer, expected a file of torch.save"
    ),
    (
      oldTorchFile(value, keys: [], storages: []),
      "storage '0': is not stored; the file is incomplete"
    ),
    (
      oldTorchFile(value, keys: keys + keys, storages: storages + storages),
      "storage '0': is listed twice, or belongs to no tensor; the file is damaged"
    ),
    (
      oldTorchFile(value, keys: [Pickle.text("9")], storages: storages),
      "storage '9': is listed twice, or belongs to no tensor; the file is damaged"
    ),
    (
      oldTorchFile(value, keys: [Pickle.none], storages: storages),
      "storage 'None': is listed twice, or belongs to no tensor; the file is damaged"
    ),
    (
      oldTorchFile(value, keys: keys, storages: [(3, floatBytes([1, 2]))]),
      "storage '0': holds 3 elements, the pickle states 2; the file is damaged"
    ),
    (
      oldTorchFile(value, keys: keys, storages: [(-1, floatBytes([1, 2]))]),
      "storage '0': holds 18446744073709551615 elements, the pickle states 2; the file is damaged"
    ),
    (
      oldTorchFile(value, keys: keys, storages: [(2, floatBytes([1]))]),
      "storage '0': takes 8 bytes, only 4 follow; the file is incomplete"
    ),
    (
      oldTorchFile(value, keys: keys, storages: storages) + [0],
      "1 byte follows the last storage; the file is damaged"
    ),
    (
      oldTorchFile(
        Pickle.dictionary([
          ("a", Pickle.tensor(Pickle.storage(count: 2), [2], [1])),
          ("b", Pickle.tensor(Pickle.storage(count: 3), [2], [1])),
        ]), keys: keys, storages: storages),
      "storage '0': has 8 bytes for one tensor and 12 for another; the file is damaged"
    ),
    (
      oldTorchFile(
        Pickle.dictionary([("a", Pickle.tensor(Pickle.storage(count: .max), [2], [1]))]),
        keys: keys, storages: storages), "storage '0': the size of \(Int.max) elements overflows"
    ),
  ]

  @Test(arguments: damaged.indices)
  func damagedFilesAreRefused(index: Int) {
    #expect(torchRefusal(Self.damaged[index].bytes) == "f: " + Self.damaged[index].found)
  }

  @Test func codeInEveryPickleIsRefused() {
    let evil = Pickle.call("os", "system", [Pickle.text("echo")])
    for bytes in [
      oldTorchFile(evil, keys: Self.keys, storages: Self.storages),
      oldTorchFile(Self.value, keys: [evil], storages: Self.storages),
    ] {
      #expect(torchRefusal(bytes).hasSuffix(PickleHostileTests.runs("os.system")))
    }
  }
}

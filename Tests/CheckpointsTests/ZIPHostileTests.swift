import Checkpoints
import Support
import Tensors
import TestSupport
import Testing

/// Damaged and malicious ZIP archives.
struct ZIPHostileTests {
  /// The entries of a file with one tensor.
  static let good: [ZIPSample] = [
    ZIPSample(
      "m/data.pkl",
      Pickle.whole(
        Pickle.dictionary([("a", Pickle.tensor(Pickle.storage(count: 2), [2], [1]))]))),
    ZIPSample("m/data/0", floatBytes([1, 2])), ZIPSample("m/version", Array("3\n".utf8)),
  ]

  /// The message of the error after `damage` to the storage's entry.
  private func refusal(_ damage: (inout ZIPSample) -> Void) -> String {
    var entries = Self.good
    damage(&entries[1])
    return torchRefusal(zip(entries))
  }

  @Test func theSampleIsSound() throws {
    for bytes in [zip(Self.good), zip(Self.good, comment: Array("a comment".utf8))] {
      #expect(try TorchFile(ByteSlice(bytes), path: "f").tensor("a").floats() == [1, 2])
    }
  }

  @Test func compressedAndEncryptedEntriesAreRefused() {
    #expect(
      refusal { $0.method = 8 }
        == "f: entry 'm/data/0' of the ZIP archive is compressed (method 8), which PyTorch never does"
    )
    #expect(
      refusal { $0.flags = 1 }
        == "f: entry 'm/data/0' of the ZIP archive is encrypted")
    #expect(
      refusal { $0.ownMethod = 8 }
        == "f: entry 'm/data/0' of the ZIP archive: its local header says that the entry is compressed or encrypted; the file is damaged"
    )
  }

  /// An entry of eight bytes that claims a gigabyte.
  @Test func wrongSizesAreRefused() {
    #expect(
      refusal { $0.full = 1 << 30 }
        == "f: entry 'm/data/0' of the ZIP archive is not compressed, but its sizes differ: 8 and 1073741824 bytes; the file is damaged"
    )
    #expect(
      refusal {
        $0.full = 1 << 30
        $0.stored = 1 << 30
      }
        == "f: entry 'm/data/0' of the ZIP archive: its local header has a size of 8, the directory one of 1073741824; the file is damaged"
    )
    let text = refusal {
      $0.full = 1 << 30
      $0.stored = 1 << 30
      $0.ownSize = 1 << 30
    }
    #expect(text.contains("ends at byte 1073742") && text.contains("expected an end by"))
    #expect(
      refusal { $0.ownSize = 4 }
        == "f: entry 'm/data/0' of the ZIP archive: its local header has a size of 4, the directory one of 8; the file is damaged"
    )
  }

  @Test func overlappingEntriesAreRefused() {
    // The version's entry has the offset of the storage.
    var entries = Self.good
    entries[2] = ZIPSample("m/data/1", entries[1].bytes)
    let first = 30 + 10 + entries[0].bytes.count
    entries[1].ownName = "m/data/1"
    entries[1].name = "m/data/1"
    entries[2].name = "m/data/0"
    entries[2].start = first
    #expect(torchRefusal(zip(entries)).contains("its local header has another name"))

    // Two entries of one name's length whose bytes hold a header of their own.
    let inner = zip([ZIPSample("m/data/0", floatBytes([1, 2]))])
    var outer = ZIPSample("m/data/9", Array(inner.prefix(30 + 8 + 8)))
    outer.flags = 8
    var hidden = ZIPSample("m/data/0", floatBytes([1, 2]))
    hidden.start = first + 30 + 8
    #expect(
      torchRefusal(zip([Self.good[0], outer, hidden]))
        == "f: entries 'm/data/9' and 'm/data/0' of the ZIP archive overlap; the file is damaged, or made to mislead"
    )
  }

  @Test func repeatedEntryNamesAreRefused() {
    #expect(
      torchRefusal(zip(Self.good + [Self.good[0]]))
        == "f: the ZIP archive has two entries called 'm/data.pkl', expected one")
    // Two pickles in folders of different names are ambiguous.
    let other = ZIPSample("n/data.pkl", Self.good[0].bytes)
    #expect(
      torchRefusal(zip(Self.good + [other]))
        == "f: the ZIP archive holds no 'NAME/data.pkl', which PyTorch files have; it holds m/data.pkl, m/data/0, m/version and n/data.pkl"
    )
  }

  @Test(arguments: ["../x", "/etc/passwd", "m/../../x", "m\\x", "a\u{0}b", ""])
  func unsafeEntryNamesAreRefused(name: String) {
    let text = torchRefusal(zip(Self.good + [ZIPSample(name, [])]))
    #expect(
      text
        == "f: the ZIP archive has an entry called '\(name == "a\u{0}b" ? "a\\u{0}b" : name)', an unsafe path; PyTorch writes no such file"
    )
  }

  /// A key names an entry of the archive, never a file.
  @Test func unsafeStorageKeysAreRefused() {
    let tensor = Pickle.tensor(Pickle.storage("../../etc/passwd", count: 1), [1], [1])
    let text = torchRefusal(torchFile(Pickle.dictionary([("a", tensor)])))
    #expect(
      text
        == "f: the ZIP archive holds no 'archive/data/../../etc/passwd', which PyTorch files have; it holds archive/data.pkl and archive/byteorder"
    )
  }

  @Test func otherArchivesAreRefused() {
    #expect(
      torchRefusal(zip([ZIPSample("weights.npy", [1])]))
        == "f: the ZIP archive holds no 'NAME/data.pkl', which PyTorch files have; it holds weights.npy"
    )
    #expect(
      torchRefusal(zip([Self.good[0]]))
        == "f: the ZIP archive holds no 'm/data/0', which PyTorch files have; it holds m/data.pkl")
  }

  @Test func wrongChecksumsAreRefused() {
    var entries = Self.good
    entries[0].checksum = 1
    let right = slowChecksum(entries[0].bytes)
    #expect(
      torchRefusal(zip(entries))
        == "f: 'm/data.pkl' has the checksum \(hexadecimalText(right)), the archive's directory has 00000001; the file is damaged"
    )
  }

  @Test func ends() {
    let size = zip(Self.good).count
    #expect(torchRefusal(zip(Self.good, count: 2)).contains("holds 3 entries, expected 2"))
    #expect(torchRefusal(zip(Self.good, volume: 1)).contains("is split into volumes"))
    #expect(torchRefusal(zip(Self.good, size: 9)).contains("directory has 9 bytes from byte"))
    #expect(
      torchRefusal(zip(Self.good, start: 9)).contains("bytes from byte 9, expected an end at"))
    #expect(
      torchRefusal(zip(Self.good, size: Int(UInt32.max), start: Int(UInt32.max))).contains(
        "directory has 4294967295 bytes from byte 4294967295, expected an end at byte \(size - 22)")
    )
    // Something between the directory and the end.
    #expect(
      torchRefusal(zip(Self.good, between: [0])).contains("expected an end at byte \(size - 21)"))
  }

  /// As many entries as a directory of 64 MiB holds, without their number.
  @Test(.timeLimit(.minutes(5))) func theNumberOfEntriesIsLimited() {
    let entries = (0..<101_002).map { ZIPSample("m/\($0)", []) }
    #expect(
      torchRefusal(zip(entries, count: 1)).contains(
        "the ZIP archive's directory holds 101001 entries, expected 1"))
  }

  /// The ZIP64 fields of an archive, with their locator.
  private func wide(
    count: Int, size: Int, start: Int, place: Int, length: Int = 44, other: Int = 0
  ) -> [UInt8] {
    let number = Pickle.number
    return [0x50, 0x4b, 6, 6] + number(length, 8) + number(45, 2) + number(45, 2) + number(other, 4)
      + number(0, 4) + number(count, 8) + number(count, 8) + number(size, 8) + number(start, 8)
      + [0x50, 0x4b, 6, 7] + number(0, 4) + number(place, 8) + number(1, 4)
  }

  @Test func zip64() throws {
    let plain = zip(Self.good)
    let end = plain.count - 22
    let start = Int(plain[end + 16]) | Int(plain[end + 17]) << 8
    let size = end - start
    func file(_ fields: [UInt8]) -> [UInt8] {
      zip(Self.good, count: 0xffff, size: 0xffff_ffff, start: 0xffff_ffff, between: fields)
    }
    let right = file(wide(count: 3, size: size, start: start, place: end))
    #expect(try TorchFile(ByteSlice(right), path: "f").tensor("a").floats() == [1, 2])

    let lies: [([UInt8], String)] = [
      (
        wide(count: 3, size: size, start: start, place: end + 1),
        "the link leads to byte \(end + 1)"
      ),
      (wide(count: 3, size: size, start: start, place: .max), "the link leads to byte \(Int.max)"),
      (
        wide(count: 3, size: size, start: start, place: -1),
        "the link leads to byte 18446744073709551615"
      ),
      (
        wide(count: 3, size: size, start: start, place: 3),
        "the link leads to byte 3, where they are not"
      ),
      (
        wide(count: 3, size: size, start: start, place: end, length: .max),
        "their length does not lead"
      ),
      (wide(count: 4, size: size, start: start, place: end), "holds 3 entries, expected 4"),
      (
        wide(count: .max, size: size, start: start, place: end),
        "the ZIP archive's directory announces \(Int.max) entries, expected at most 101000"
      ),
      (wide(count: 3, size: .max, start: .max, place: end), "directory has \(Int.max) bytes"),
      (
        wide(count: 3, size: -1, start: start, place: end),
        "directory has 18446744073709551615 bytes"
      ),
      (wide(count: 3, size: size, start: start, place: end, other: 1), "is split into volumes"),
    ]
    for (fields, found) in lies { #expect(torchRefusal(file(fields)).contains(found), "\(found)") }
    // Fields of both end records that disagree.
    #expect(
      torchRefusal(
        zip(
          Self.good, count: 2, between: wide(count: 3, size: size, start: start, place: end))
      ).contains("3 where the end of the archive has 2"))
  }

  @Test func zip64Entries() throws {
    func extra(_ numbers: [Int], length: Int? = nil) -> [UInt8] {
      Pickle.number(1, 2) + Pickle.number(length ?? numbers.count * 8, 2)
        + numbers.flatMap { Pickle.number($0, 8) }
    }
    var entries = Self.good
    entries[1].full = 0xffff_ffff
    entries[1].stored = 0xffff_ffff
    entries[1].ownSize = 0xffff_ffff
    entries[1].extra = extra([8, 8])
    #expect(try TorchFile(ByteSlice(zip(entries)), path: "f").tensor("a").floats() == [1, 2])
    entries[1].extra = extra([.max, .max])
    #expect(torchRefusal(zip(entries)).contains("ends at byte 9223372036854"))
    entries[1].extra = extra([-1, -1])
    #expect(torchRefusal(zip(entries)).contains("ends at byte 18446744073709551615"))
    entries[1].extra = extra([8])
    #expect(torchRefusal(zip(entries)).contains("entry 'm/data/0' lacks a size or an offset"))
    entries[1].extra = extra([8, 8], length: 17)
    #expect(
      torchRefusal(zip(entries)).contains("entry 1 of the ZIP archive's directory is damaged"))
    entries[1].start = 0xffff_ffff
    entries[1].extra = extra([8, 8, .max])
    #expect(torchRefusal(zip(entries)).contains("ends at byte \(Int.max)"))
  }
}

import Dispatch
import ModelSources
import Packfiles
import Support
import Synchronization
import Tensors
import TestSupport
import Testing

/// Every bit flip and every truncation of a small file is detected, and the error names its place.
@Suite struct DamageTests {
  @Test func checksDetectEveryFlippedBit() throws {
    let (bytes, names) = try file()
    let missed = Findings()
    DispatchQueue.concurrentPerform(iterations: bytes.count) { offset in
      for bit in 0..<8 {
        var damaged = bytes
        damaged[offset] ^= 1 << bit
        missed.note(offset, bit, names[offset]) {
          try withThreads(1) {
            try PackfileReader(contents: ByteSlice(damaged), location: "x").check { _, _ in }
          }
        }
      }
    }
    #expect(missed.all == [])
    #expect(bytes.count > 8_000)
  }

  /// Reading all tensors, as a conversion does, detects what a check detects.
  @Test func readingDetectsEveryFlippedByte() throws {
    let (bytes, names) = try file()
    let missed = Findings()
    DispatchQueue.concurrentPerform(iterations: bytes.count) { offset in
      var damaged = bytes
      damaged[offset] ^= 1 << (offset % 8)
      missed.note(offset, offset % 8, names[offset]) {
        try withThreads(1) {
          let reader = try PackfileReader(contents: ByteSlice(damaged), location: "x")
          _ = try contents(of: reader.model())
        }
      }
    }
    #expect(missed.all == [])
  }

  @Test func openingDetectsEveryTruncation() throws {
    let (bytes, _) = try file()
    for count in 0..<bytes.count {
      let slice = ByteSlice(bytes)[0..<count]
      let expected: PackfileError.Reason =
        switch count {
        case 0..<8: .noPackfile(firstBytes: Array(bytes[..<count]))
        case 8..<160: .tooShort(bytes: count)
        default: .missingFooter(bytes: count)
        }
      #expect(throws: PackfileError("x", expected)) {
        try PackfileReader(contents: slice, location: "x")
      }
    }
  }

  @Test func openingDetectsAddedAndLostBytes() throws {
    let (bytes, _) = try file()
    #expect(reason(of: bytes + [0]) == .missingFooter(bytes: bytes.count + 1))
    var shifted = bytes
    shifted.insert(contentsOf: [UInt8](repeating: 0, count: 64), at: 64)
    #expect(
      reason(of: shifted) == .wrongLength(found: bytes.count + 64, expected: UInt64(bytes.count)))
    #expect(reason(of: Array("PK".utf8) + bytes) == .damagedHeader)
    #expect(
      reason(of: [UInt8](repeating: 7, count: 500))
        == .noPackfile(firstBytes: Array(repeating: 7, count: 8)))
    #expect(reason(of: []) == .noPackfile(firstBytes: []))
  }

  @Test func codedTensorsAreVerifiedAtEachReadingAndOthersOnce() throws {
    let (bytes, _) = try file()
    let reader = try PackfileReader(contents: ByteSlice(bytes), location: "x")
    let weights = try reader.model().components[0].weights
    for _ in 0..<2 {
      for name in weights.names { #expect(throws: Never.self) { try weights.tensor(name) } }
    }
    #expect(
      try weights.tensor("half").parts[0].array
        == Samples.mixed.components[0].weights.tensor("half").parts[0].array)
  }

  @Test func filesAreRecognizedByHeaderOrFooter() throws {
    try withTemporaryFolder { folder in
      let (bytes, _) = try file()
      func isRecognized(_ bytes: [UInt8]) throws -> Bool {
        let file = try ReplacingFile(path: folder + "/any.name", replacing: true)
        try file.write(bytes)
        try file.commit()
        return PackfileModelReader().recognizes(folder + "/any.name")
      }
      #expect(try isRecognized(bytes))
      #expect(try isRecognized(Array(bytes.dropLast(100))))
      #expect(try isRecognized([0] + bytes.dropFirst()))
      #expect(try !isRecognized([]))
      #expect(try !isRecognized(Array("decant".utf8)))
      #expect(!PackfileModelReader().recognizes(folder))
      #expect(!PackfileModelReader().recognizes(folder + "/none"))
    }
  }

  private func reason(of bytes: [UInt8]) -> PackfileError.Reason? {
    do throws(PackfileError) {
      _ = try PackfileReader(contents: ByteSlice(bytes), location: "x")
      return nil
    } catch { return error.reason }
  }

  /// A small file, and for each byte the name that an error about it must contain.
  private func file() throws -> ([UInt8], [String]) {
    try withTemporaryFolder { folder in
      let reader = try written(Samples.mixed, in: folder, parity: ["psnr": 40])
      let bytes = try ByteSlice.mapping(folder + "/model.decant").array
      var names = [String](repeating: "manifest", count: bytes.count)
      for index in 0..<64 { names[index] = "header" }
      for index in bytes.count - 96..<bytes.count { names[index] = "footer" }
      func name(_ region: Manifest.Region, _ name: String) {
        for index in region.offset..<(region.offset + region.length + 63) / 64 * 64 {
          names[index] = name
        }
      }
      for component in reader.manifest.components {
        for tensor in component.tensors {
          for region in tensor.regions {
            name(region, "\(component.name) tensor '\(tensor.name)'")
          }
        }
      }
      for file in reader.manifest.files { name(file.region, "file '\(file.path)'") }
      return (bytes, names)
    }
  }
}

/// Bits whose change was missed or reported with another name, collected by several threads.
private final class Findings: Sendable {
  private let found = Mutex<[String]>([])

  var all: [String] { found.withLock { $0 } }

  func note(_ offset: Int, _ bit: Int, _ name: String, _ body: () throws -> Void) {
    do {
      try body()
      add("bit \(bit) of byte \(offset) (\(name)): not detected")
    } catch let error as PackfileError where error.description.contains(name) {
    } catch {
      add("bit \(bit) of byte \(offset) (\(name)): \(error)")
    }
  }

  private func add(_ text: String) { found.withLock { $0.append(text) } }
}

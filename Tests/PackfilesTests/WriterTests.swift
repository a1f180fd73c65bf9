import Foundation
import ModelSources
import Packfiles
import Support
import Synchronization
import Tensors
import TestSupport
import Testing

/// A task that other threads may cancel. Unchecked: any thread may cancel a task.
private struct Canceller: @unchecked Sendable {
  let task: UnsafeCurrentTask?

  func cancel() { task?.cancel() }
}

@Suite struct WriterTests {
  @Test func sameInputGivesSameBytesWithAnyNumberOfThreads() throws {
    try withTemporaryFolder { folder in
      var model = Samples.mixed
      model.components[1].weights = MemorySource(
        location: "memory", [("big", Samples.gaussian([3, 700_000], .f16))])
      func written(threads: Int) throws -> [UInt8] {
        try withThreads(threads) { try bytes(model, in: folder, PackfileWriter()) }
      }
      let first = try written(threads: 1)
      for threads in [1, 3, 16] { #expect(try written(threads: threads) == first) }
    }
  }

  @Test func theBytesOfAnEmptyModel() throws {
    try withTemporaryFolder { folder in
      let model = ModelSource(
        location: "memory", layout: "memory", index: [:], components: [], scheduler: nil, files: [])
      let found = try bytes(model, in: folder, PackfileWriter())
      let manifest =
        #"{"model":{},"scheduler":null,"components":[],"files":[],"codecs":[],"#
        + #""provenance":{},"parity":null}"#
      // Digests and checksums by Python's hashlib and zlib.
      let header = "8944434e540d0a1a01000000" + zeros(48) + "57c94e94"
      let footer =
        "44434e54656e640a0100000000000000" + "4000000000000000" + "6200000000000000"
        + "0201000000000000" + "cfae75477205d7cd4714cb35ce7429bfe36c2dc2d7d37434b7d525213548872d"
        + zeros(20) + "0c7bfde8"
      #expect(hexadecimal(found) == header + hexadecimal([UInt8](manifest.utf8)) + footer)
    }
  }

  @Test(arguments: [true, false]) func regionsAreAlignedAndUncodedOnesUsedInPlace(codes: Bool)
    throws
  {
    try withTemporaryFolder { folder in
      let reader = try written(Samples.mixed, in: folder, codes: codes)
      let model = try reader.model()
      var raw = 0
      for component in reader.manifest.components {
        for tensor in component.tensors {
          let stored = try #require(model[component.name]).weights.tensor(tensor.name)
          for (region, part) in zip(tensor.regions, stored.parts) {
            #expect(region.offset % 64 == 0)
            if region.coding == nil {
              raw += 1
              // The alignment is relative to the file, so the slice is part of the mapped file.
              #expect(part.alignmentOffset == region.offset)
            }
          }
        }
      }
      #expect(raw == (codes ? 7 : 9))
      // An uncoded float32 tensor can be used in place.
      let bias = try #require(model["unet"]).weights.tensor("bias")
      #expect(bias.withFloatsInPlace(rows: 0..<21) { $0.count } == 21)
    }
  }

  @Test func openingReadsNoWeights() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.decant"
      _ = try written(
        Samples.model([("a", Samples.noise([100], .plain(.f32)))]), in: folder, codes: false)
      var bytes = [UInt8](try #require(FileManager.default.contents(atPath: path)))
      bytes[64] ^= 1
      // Reading the tensor detects the damage, opening does not.
      let reader = try PackfileReader(contents: ByteSlice(bytes), location: "x")
      let weights = try reader.model().components[0].weights
      #expect(throws: PackfileError("x", .damaged(region: "unet tensor 'a'"))) {
        try weights.tensor("a")
      }
    }
  }

  @Test func gaussianHalvesShrinkByTenPercentAndCodesBelow7Point6Bits() throws {
    try withTemporaryFolder { folder in
      let reader = try written(
        Samples.model([
          ("f16", Samples.gaussian([1280, 500], .f16)),
          ("bf16", Samples.gaussian([1280, 500], .bf16)),
          ("f32", Samples.gaussian([1280, 500], .f32)), ("int8", Samples.int8([320, 2000])),
        ]), in: folder)
      let count = 640_000.0
      let bits = reader.manifest.components[0].tensors.map { Double($0.storedBytes) * 8 / count }
      #expect(bits[0] < 16 * 0.9, "f16: \(bits[0]) bits a weight")
      #expect(bits[1] < 11.2, "bf16: \(bits[1]) bits a weight")
      #expect(bits[2] < 32 * 0.9, "f32: \(bits[2]) bits a weight")
      #expect(bits[3] < 7.6, "int8: \(bits[3]) bits a weight")
    }
  }

  @Test func progressEndsAtTheTotal() throws {
    try withTemporaryFolder { folder in
      var last = (0, -1)
      var steps = 0
      let model = Samples.mixed
      try PackfileWriter().write(model, to: folder + "/a.decant", replacing: false) { done, total in
        #expect(done >= last.0 && done <= total)
        last = (done, total)
        steps += 1
      }
      #expect(last.0 == last.1)
      #expect(
        last.1 == model.components.reduce(0) { $0 + $1.weights.byteCount }
          + model.files.reduce(0) { $0 + $1.bytes.count })
      #expect(steps >= 9)
    }
  }

  @Test func aSourceThatFailsLeavesNothing() throws {
    try withTemporaryFolder { folder in
      let broken = BrokenSource(base: Samples.mixed.components[0].weights)
      var model = Samples.mixed
      model.components[0].weights = broken
      #expect(throws: WeightError.self) {
        try PackfileWriter().write(model, to: folder + "/a.decant", replacing: false) { _, _ in }
      }
      #expect(entries(of: folder) == [])
    }
  }

  @Test func existingOutputsAreReplacedOnRequestOnly() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      try Data("kept".utf8).write(to: URL(fileURLWithPath: path))
      #expect(throws: FileError(.exists, path)) {
        try PackfileWriter().write(Samples.mixed, to: path, replacing: false) { _, _ in }
      }
      var model = Samples.mixed
      model.components[0].weights = BrokenSource(base: model.components[0].weights)
      #expect(throws: WeightError.self) {
        try PackfileWriter().write(model, to: path, replacing: true) { _, _ in }
      }
      #expect(FileManager.default.contents(atPath: path) == Data("kept".utf8))
      try PackfileWriter().write(Samples.mixed, to: path, replacing: true) { _, _ in }
      #expect(Packfile.recognizes(path))
    }
  }

  @Test func aCancelledWriteLeavesNothing() async throws {
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("decant-cancel-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      try PackfileWriter().write(Samples.mixed, to: folder + "/a.decant", replacing: false) {
        _, _ in
      }
    }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(entries(of: folder) == [])
  }

  /// A region is written in several steps, often on a thread that belongs to no task. Cancellation of
  /// the task ends it after the current step.
  @Test(.enabled(if: ProcessInfo.processInfo.activeProcessorCount > 1))
  func cancellationEndsARegionOnAThreadOfAnotherTask() async throws {
    let windows = 4
    let count = windows << 22
    let zeros = StoredTensor(
      shape: [count], encoding: .plain(.u8),
      parts: [ByteSlice([UInt8](repeating: 0, count: count))])
    let model = ModelSource(
      location: "memory", layout: "memory", index: [:],
      components: [
        ModelSource.Component(
          name: "unet", className: "U", config: [:],
          weights: MemorySource(location: "memory", [("zeros", zeros)]))
      ], scheduler: nil, files: [])
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("decant-cancel-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let steps = Mutex(0)
    let error = Mutex<(any Error)?>(nil)
    await Task {
      withUnsafeCurrentTask { task in
        let canceller = Canceller(task: task)
        let started = Mutex(0)
        withThreads(2) {
          parallel(2) { _ in
            started.withLock { $0 += 1 }
            // A long limit, because other tests run at the same time.
            for _ in 0..<120_000 where started.withLock({ $0 }) < 2 { usleep(1000) }
            guard withUnsafeCurrentTask(body: { $0 == nil }) else { return }
            do {
              try PackfileWriter().write(model, to: folder + "/a.decant", replacing: false) {
                _, _ in
                steps.withLock { $0 += 1 }
                canceller.cancel()
              }
            } catch let thrown { error.withLock { $0 = thrown } }
          }
        }
      }
    }.value
    #expect(error.withLock { $0 } is CancellationError)
    #expect(steps.withLock { $0 } == 1)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == [])
  }

  static let unwritable: [(ModelSource, PackfileError.Reason)] = [
    (
      Samples.model([("größe", Samples.noise([1], .plain(.u8)))]),
      .unwritable(
        place: "the name of a tensor of component 'unet'", found: "'größe'",
        expected: "1 to 512 visible ASCII characters")
    ),
    (
      Samples.model([], files: [Samples.file("../../home/x", "")]),
      .unwritable(
        place: "the name of a file", found: "'../../home/x'",
        expected: "a relative path of at most 255 printable ASCII characters without '..'")
    ),
    (
      Samples.model([], files: [Samples.file("a", ""), Samples.file("a", "")]),
      .duplicate(place: "the model", name: "a")
    ),
  ]

  @Test(arguments: unwritable.indices) func namesThatCannotBeWrittenAreRefused(index: Int) throws {
    let (model, reason) = Self.unwritable[index]
    try withTemporaryFolder { folder in
      let path = folder + "/a.decant"
      #expect(throws: PackfileError(path, reason)) {
        try PackfileWriter().write(model, to: path, replacing: false) { _, _ in }
      }
      #expect(entries(of: folder) == [])
    }
  }

  @Test func invalidManifestsAreNotWritten() throws {
    try withTemporaryFolder { folder in
      var deep: JSONValue = 1
      for _ in 0..<63 { deep = [deep] }
      var model = Samples.mixed
      model.provenance = ["deep": deep]
      let path = folder + "/a.decant"
      #expect(throws: PackfileError.self) {
        try PackfileWriter().write(model, to: path, replacing: false) { _, _ in }
      }
      model.provenance = ["long": .string(String(repeating: "x", count: 17 << 20))]
      #expect(throws: PackfileError.self) {
        try PackfileWriter().write(model, to: path, replacing: false) { _, _ in }
      }
      #expect(entries(of: folder) == [])
    }
  }

  @Test func outputsAreClaimedByTheirExtension() {
    #expect(PackfileWriter().claims("a/b.decant"))
    #expect(PackfileWriter().claims("B.DECANT"))
    #expect(PackfileWriter().outputName(stem: "b") == "b.decant")
    #expect(!PackfileWriter().claims("b.decant/"))
    #expect(!PackfileWriter().claims("decant"))
  }

  private func bytes(
    _ model: ModelSource, in folder: String, _ writer: PackfileWriter
  ) throws -> [UInt8] {
    let path = folder + "/\(UUID().uuidString).decant"
    try writer.write(model, to: path, replacing: false) { _, _ in }
    return [UInt8](try #require(FileManager.default.contents(atPath: path)))
  }

  private func zeros(_ count: Int) -> String { String(repeating: "00", count: count) }

  private func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { String(format: "%02x", $0) }.joined()
  }
}

/// A source whose third tensor cannot be read.
private struct BrokenSource: WeightSource {
  let base: any WeightSource
  var location: String { base.location }
  var names: [String] { base.names }
  func entry(_ name: String) -> TensorEntry? { base.entry(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    if name == names[2] { throw WeightError(location: location, tensor: name, found: "a fault") }
    return try base.tensor(name)
  }
}

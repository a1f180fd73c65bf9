import Checkpoints
import Foundation
import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// A source whose tensors differ from its names and entries.
private struct FaultySource: WeightSource {
  let base: MemorySource
  var announced: TensorEntry?
  var failure: (any Error)?
  var onRead: @Sendable () -> Void = {}

  var location: String { base.location }
  var names: [String] { base.names }
  func entry(_ name: String) -> TensorEntry? { announced ?? base.entry(name) }

  func tensor(_ name: String) throws -> StoredTensor {
    onRead()
    if let failure, name == names.last { throw failure }
    return try base.tensor(name)
  }
}

struct SafetensorsWriterTests {
  static let small = MemorySource(
    location: "memory",
    [
      (
        "mask",
        StoredTensor(shape: [3], encoding: .plain(.bool), parts: [ByteSlice([1, 0, 1] as [UInt8])])
      ),
      ("b.weight", StoredTensor(shape: [2, 2], floats: [1, -2, 0.5, 65504], as: .f16)),
      ("a.weight", StoredTensor(shape: [3], floats: [1, 2, 3])),
      (
        "ids",
        StoredTensor(
          shape: [2], encoding: .plain(.i64),
          parts: [
            ByteSlice([7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0] as [UInt8])
          ])
      ),
      ("a.bias", StoredTensor(shape: [1], floats: [-1])),
    ])

  /// The bytes are those of the safetensors package for Python.
  @Test func writesTheBytesOfThePythonPackage() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/small.safetensors"
      try writeSafetensors(Self.small, to: path)
      let header =
        #"{"__metadata__":{"format":"pt"},"ids":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},"#
        + #""a.bias":{"dtype":"F32","shape":[1],"data_offsets":[16,20]},"#
        + #""a.weight":{"dtype":"F32","shape":[3],"data_offsets":[20,32]},"#
        + #""b.weight":{"dtype":"F16","shape":[2,2],"data_offsets":[32,40]},"#
        + #""mask":{"dtype":"BOOL","shape":[3],"data_offsets":[40,43]}}   "#
      let data: [UInt8] = [
        7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xbf, 0, 0, 0x80, 0x3f, 0, 0,
        0, 0x40, 0, 0, 0x40, 0x40, 0, 0x3c, 0, 0xc0, 0, 0x38, 0xff, 0x7b, 1, 0, 1,
      ]
      #expect(try bytes(path) == safetensors(header) + data)
      #expect(try bytes(path) == bytes(fixture("safetensors/small.safetensors")))
    }
  }

  @Test func everyKindIsWrittenAsItWasRead() throws {
    try withTemporaryFolder { folder in
      let kinds = try SafetensorsFile(path: fixture("safetensors/kinds.safetensors"))
      try writeSafetensors(kinds, to: folder + "/copy.safetensors")
      let copy = try SafetensorsFile(path: folder + "/copy.safetensors")
      #expect(copy.names == kinds.names)
      for name in kinds.names {
        #expect(copy.entry(name) == kinds.entry(name))
        #expect(try copy.tensor(name).parts[0].array == kinds.tensor(name).parts[0].array)
      }
    }
  }

  @Test func metadataIsSortedAfterTheFormat() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/f"
      try writeSafetensors(
        MemorySource(location: "none", []), metadata: ["b": "2", "a": "é\n"], to: path)
      #expect(
        try bytes(path) == safetensors(#"{"__metadata__":{"format":"pt","a":"é\n","b":"2"}}     "#))
      try writeSafetensors(
        MemorySource(location: "none", []), metadata: ["format": "np"], to: path, replacing: true)
      #expect(try SafetensorsFile(path: path).metadata == ["format": "np"])
    }
  }

  /// Random kinds and shapes are read back from files with aligned data.
  @Test(arguments: 0..<40)
  func roundTrips(seed: UInt64) throws {
    var random = SplitMix(state: seed)
    let tensors = (0..<Int.random(in: 0...9, using: &random)).map {
      index -> (String, StoredTensor) in
      let kind = ElementKind.allCases.randomElement(using: &random) ?? .f32
      var extents = (0..<Int.random(in: 0...4, using: &random)).map { _ in
        Int.random(in: 0...5, using: &random)
      }
      if kind.bitWidth < 8 { extents.append(4) }
      let shape = Shape(extents)
      let count = kind.byteCount(of: shape.count) ?? 0
      let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
      let name = ["weight", "a.b", "é", "\"q\\\n", "", "ü.\(index)"][index % 6] + String(index)
      return (name, StoredTensor(shape: shape, encoding: .plain(kind), parts: [ByteSlice(bytes)]))
    }
    try withTemporaryFolder { folder in
      let source = MemorySource(location: "memory", tensors)
      try writeSafetensors(source, to: folder + "/f")
      let file = try SafetensorsFile(path: folder + "/f")
      #expect(Set(file.names) == Set(source.names))
      #expect(try bytes(folder + "/f").count % 8 == source.byteCount % 8)
      for (name, tensor) in tensors {
        let found = try file.tensor(name)
        #expect(found.entry == tensor.entry)
        #expect(found.parts[0].array == tensor.parts[0].array)
        #expect(tensor.entry.encoding == .plain(.bool) || found.parts[0].alignmentOffset >= 16)
      }
    }
  }

  @Test func severalSourcesMakeOneFile() throws {
    try withTemporaryFolder { folder in
      let other = MemorySource(location: "other", [("z", counting([2]))])
      try writeSafetensors([Self.small, other], to: folder + "/f")
      #expect(try SafetensorsFile(path: folder + "/f").names.contains("z"))
      #expect(
        message { try writeSafetensors([other, other], to: folder + "/g") }
          == "\(folder)/g: tensor 'z' comes from other and from other, expected one of them")
      #expect(contents(folder) == ["f"])
    }
  }

  @Test func progressCountsBytesOfTensors() throws {
    try withTemporaryFolder { folder in
      var seen: [[Int]] = []
      try writeSafetensors(Self.small, to: folder + "/f") { seen.append([$0, $1]) }
      #expect(seen == [[0, 43], [16, 43], [20, 43], [32, 43], [40, 43], [43, 43]])
    }
  }

  @Test func existingOutputsAreReplacedOnRequestOnly() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/f"
      try write("old", to: path)
      #expect(
        message { try writeSafetensors(Self.small, to: path) }
          == "\(path) already exists")
      #expect(try text(path) == "old")
      try writeSafetensors(Self.small, to: path, replacing: true)
      #expect(try SafetensorsFile(path: path).names.count == 5)
    }
  }
}

struct SafetensorsWriterRefusalTests {
  private func refusal(_ source: some WeightSource) throws -> String {
    try withTemporaryFolder { folder in
      let path = folder + "/f"
      let text = message { try writeSafetensors(source, to: path) }
      #expect(contents(folder) == [])
      return text.replacingOccurrences(of: folder + "/", with: "")
    }
  }

  @Test func quantizedTensorsAreRefused() throws {
    let tensor = StoredTensor(
      shape: [1, 2], encoding: .int8,
      parts: [ByteSlice([1, 2] as [Int8]), ByteSlice([1] as [Float])])
    #expect(
      try refusal(MemorySource(location: "m", [("w", tensor)]))
        == "f: tensor 'w' is int8, which safetensors cannot hold"
    )
  }

  @Test func theReservedNameIsRefused() throws {
    #expect(
      try refusal(MemorySource(location: "m", [("__metadata__", counting([1]))]))
        == "f: a tensor has the name '__metadata__', which safetensors reserves")
  }

  @Test func headersBeyondTheLimitAreRefused() throws {
    let name = String(repeating: "n", count: 100_000_001)
    #expect(
      try refusal(MemorySource(location: "m", [(name, counting([1]))]))
        == "f: the header would take more than the 100000000 bytes that safetensors allows")
  }

  @Test func tensorsThatDifferFromTheirEntryAreRefused() throws {
    let base = MemorySource(location: "m", [("w", counting([2]))])
    let announced = TensorEntry(shape: [3], encoding: .plain(.f16))
    #expect(
      try refusal(FaultySource(base: base, announced: announced))
        == "f: tensor 'w' is f32 [2], expected f16 [3]")
  }

  @Test func aSourceThatFailsLeavesNothing() throws {
    let base = MemorySource(location: "m", [("a", counting([2])), ("b", counting([2]))])
    let failure = WeightError(location: "m", tensor: "b", found: "a fault")
    #expect(try refusal(FaultySource(base: base, failure: failure)) == "m: tensor 'b': a fault")
  }

  /// A cancelled task starts no further tensor and leaves no file.
  @Test func cancellationLeavesNothing() async throws {
    let base = MemorySource(
      location: "m", (0..<40).map { ("tensor\($0)", counting([2])) })
    let task = Task {
      try withTemporaryFolder { folder in
        withUnsafeCurrentTask { task in
          let canceller = Canceller(task: task)
          let source = FaultySource(base: base, onRead: { canceller.cancel() })
          var seen = 0
          let text = message {
            try writeSafetensors(source, to: folder + "/f") { done, _ in seen = done }
          }
          return (text, seen, contents(folder))
        }
      }
    }
    let (text, seen, left) = try await task.value
    #expect(text == "CancellationError()" && left == [])
    // Tensors that other threads had started by then.
    #expect(seen < 40 * 8)
  }
}

/// Cancels a task from any thread.
private struct Canceller: @unchecked Sendable {
  let task: UnsafeCurrentTask?

  func cancel() { task?.cancel() }
}

/// The generator of Steele, Lea and Flood (2014), for reproducible test cases.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}

private import Checkpoints
private import Foundation
private import Kernels
private import ModelSources
private import Support
private import Tensors

/// Times lossless coding as conversions use it: one tensor is written to a `.decant` file in the
/// system's temporary folder and read back, with checksums.
struct CodingBench {
  struct Row: Sendable {
    let name: String
    /// Bytes of the decoded tensor per processor second of all threads.
    let bytesEncodedPerSecond: Double
    let bytesDecodedPerSecond: Double
    /// Bytes of the file divided by bytes of the tensor.
    let share: Double
  }

  static func run() throws -> [Row] {
    let folder = FileManager.default.temporaryDirectory.path + "/" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let (rows, length) = (4096, 4096)
    let numbers = nearlyNormal(rows * length)
    let codes = numbers.map { Int8(($0 * 36).rounded()) }
    let scales = [Float](repeating: 1, count: rows)
    return try [
      ("float16", StoredTensor(shape: [rows, length], floats: numbers, as: .f16)),
      (
        TensorEncoding.int8.name,
        StoredTensor(
          shape: [rows, length], encoding: .int8, parts: [ByteSlice(codes), ByteSlice(scales)])
      ),
    ].map { name, tensor in try measure(name, tensor, folder + "/\(name).decant") }
  }

  private static func measure(_ name: String, _ tensor: StoredTensor, _ path: String) throws -> Row
  {
    let model = ModelSource(
      location: "memory", layout: "memory", index: [:],
      components: [
        ModelSource.Component(
          name: ComponentName.unet, className: "UNet2DConditionModel", config: [:],
          weights: MemorySource(location: "memory", [("weight", tensor)]))
      ], scheduler: nil, files: [])
    let writer = try Layouts.writers.writer(for: path, named: nil)
    let bytes = Double(tensor.parts.reduce(0) { $0 + $1.count })
    let encoding = try leastSeconds {
      try writer.write(model, to: path, replacing: true, options: WriteOptions()) { _, _ in }
    }
    let weights = try ModelSource.reading(path, InputOptions()).components[0].weights
    let decoding = try leastSeconds { _ = try weights.tensor("weight") }
    return Row(
      name: name, bytesEncodedPerSecond: bytes / encoding, bytesDecodedPerSecond: bytes / decoding,
      share: Double(bytesOnDisk(path)) / bytes)
  }

  /// The least processor seconds of five runs of `body`.
  private static func leastSeconds(_ body: () throws -> Void) throws -> Double {
    var least = Double.infinity
    for _ in 0..<5 {
      try Cancellation.check()
      let start = processorSeconds()
      try body()
      least = min(least, processorSeconds() - start)
    }
    return least
  }

  /// Sums of four uniform random numbers, with a standard deviation of 1.
  private static func nearlyNormal(_ count: Int) -> [Float] {
    var state: UInt64 = 1
    return (0..<count).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UniformSum.centered(state ^ state >> 29) / UniformSum.deviation
    }
  }
}

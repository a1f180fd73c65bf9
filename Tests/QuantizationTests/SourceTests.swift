import Kernels
import ModelSources
import Models
import Quantization
import Support
import Tensors
import TestSupport
import Testing

/// Tests of `QuantizedSource` and `CastingSource`.
struct SourceTests {
  /// The module list of a U-Net of two convolutions, a linear layer and a norm.
  static let modules: [ModuleSpec] = [
    module("conv_in", .convolution, .firstConvolution, [4, 2, 3, 3]),
    module("block.norm", .groupNorm, .norm, [4]),
    module("block.conv", .convolution, .convolution, [6, 4, 3, 3]),
    module("block.linear", .linear, .linear, [5, 6], bias: false),
  ]

  static func module(
    _ name: String, _ kind: ModuleSpec.Kind, _ role: ModuleSpec.Role, _ shape: Shape,
    bias: Bool = true
  ) -> ModuleSpec {
    ModuleSpec(
      name: name, kind: kind, role: role, block: "block",
      weight: TensorSpec(name: name + ".weight", shape: shape),
      bias: bias ? TensorSpec(name: name + ".bias", shape: [shape[0]]) : nil)
  }

  static func weights(changing change: (inout [(String, StoredTensor)]) -> Void = { _ in })
    -> MemorySource
  {
    var generator = SeededGenerator(21)
    var tensors = modules.tensors.map {
      ($0.name, StoredTensor(shape: $0.shape, floats: generator.weights($0.shape.count)))
    }
    change(&tensors)
    return MemorySource(location: "unet.safetensors", tensors)
  }

  static func plan(_ name: String = "int8") throws -> QuantizationPlan {
    try QuantizationPlan(
      modules: modules,
      choices: QuantizationPlan.Choices(scheme: try #require(Schemes.named(name))))
  }

  @Test func storesTensorsAsThePlanSays() throws {
    let base = Self.weights()
    let source = try QuantizedSource(base, plan: try Self.plan())
    #expect(source.names == base.names)
    #expect(source.location == "unet.safetensors")
    for name in source.names {
      #expect(try source.tensor(name).entry == source.entry(name))
    }
    #expect(source.entry("block.conv.weight")?.encoding == .int8)
    #expect(source.entry("block.linear.weight")?.encoding == .int8)
    #expect(source.entry("conv_in.weight")?.encoding == .plain(.f16))
    #expect(source.entry("block.norm.weight")?.encoding == .plain(.f16))
    #expect(source.entry("block.conv.bias")?.encoding == .plain(.f16))
    #expect(source.entry("nothing") == nil)
  }

  @Test func recordsEveryTensorInTheLedger() throws {
    let source = try QuantizedSource(Self.weights(), plan: try Self.plan())
    #expect(source.ledger.records.isEmpty)
    for name in source.names.reversed() { _ = try source.tensor(name) }
    _ = try source.tensor("block.conv.weight")
    let records = source.ledger.records
    #expect(records.map(\.tensor) == source.names)
    let record = try #require(records.first { $0.tensor == "block.conv.weight" })
    #expect(record.before == .plain(.f32))
    #expect(record.after == .int8)
    #expect(record.bytesBefore == 6 * 36 * 4)
    #expect(record.bytesAfter == 6 * 36 + 6 * 4)
    #expect(record.method == "mse")
    #expect(record.figures.sqnr >= record.figures.plainSQNR)
    #expect(record.figures.weightedSQNR == nil)
    #expect((record.figures.clip?.least ?? 2) <= 1)
    #expect(records.first?.method == nil)
    #expect(
      records.map(\.bytesAfter) == source.names.map { source.entry($0)?.byteCount ?? 0 })

    let json = try #require(source.ledger.json.array)
    let object = try #require(json[records.firstIndex(of: record) ?? 0].object)
    #expect(object["tensor"] == "block.conv.weight")
    #expect(object["after"] == "int8")
    #expect(object["sqnr_db"]?.number == record.figures.sqnr)
    #expect(object["weighted_sqnr_db"] == .null)
    #expect(object["plain_sqnr_db"]?.number == record.figures.plainSQNR)
    #expect(
      try JSONValue(parsing: source.ledger.json.text(indent: 2)).array?.count == records.count)
  }

  @Test func weightsEachTapByTheMeanSquareOfItsChannel() throws {
    var statistics = ActivationStatistics(modules: Self.modules, bands: TimestepBands(count: 2))
    #expect(statistics.names == ["conv_in", "block.conv", "block.linear"])
    let summary = ActivationSummary(
      maxima: [1, 2, 3, 4], squareSums: [10, 20, 0, 40], positions: 10,
      histogram: [UInt64](repeating: 0, count: MagnitudeBins.count))
    check(
      statistics.update("block.conv") { $0.add(summary, band: 1, branch: .conditional) } == .added)
    let base = Self.weights()
    let source = try QuantizedSource(base, plan: try Self.plan(), statistics: statistics)
    let found = try source.tensor("block.conv.weight")

    let meanSquares: [Float] = [1, 2, 0, 4].flatMap { [Float](repeating: $0, count: 9) }
    let scheme = try #require(Schemes.named("int8"))
    let expected = try scheme.encode(
      try base.tensor("block.conv.weight"), method: try method("mse"),
      statistics: LayerStatistics(meanSquares: meanSquares))
    #expect(found.floats() == expected.tensor.floats())
    let record = source.ledger.records.first { $0.tensor == "block.conv.weight" }
    #expect(record?.figures == expected.figures)
    #expect(record?.figures.weightedSQNR != nil)

    // A layer without statistics is rounded as without a calibration.
    _ = try source.tensor("block.linear.weight")
    #expect(source.ledger.records.last?.figures.weightedSQNR == nil)
  }

  @Test func refusesStatisticsOfOtherChannels() throws {
    let other = [
      Self.module("block.conv", .convolution, .convolution, [6, 8, 3, 3]),
      Self.module("block.linear", .linear, .linear, [5, 6]),
    ]
    let statistics = ActivationStatistics(modules: other, bands: TimestepBands())
    let plan = try Self.plan()
    let error = #expect(throws: ConversionError.self) {
      try QuantizedSource(Self.weights(), plan: plan, statistics: statistics)
    }
    #expect(
      error?.description
        == "unet.safetensors: tensor 'block.conv.weight' has 4 input channels, but the "
        + "calibration has 8")
    #expect(error?.remedy == .recalibrate)
  }

  @Test func refusesToQuantizeTwice() throws {
    let plan = try Self.plan()
    let once = try QuantizedSource(Self.weights(), plan: plan)
    let error = #expect(throws: ConversionError.self) { try QuantizedSource(once, plan: plan) }
    #expect(
      error?.description
        == "unet.safetensors: tensor 'block.conv.weight' is already quantized to int8")
    #expect(error?.remedy == .quantizeOriginal)
    // Widening is exact.
    let wide = CastingSource(once, to: try #require(Schemes.named("f32")))
    #expect(
      try wide.tensor("block.conv.weight").floats() == once.tensor("block.conv.weight").floats())
  }

  @Test func refusesNaN() throws {
    let base = Self.weights { tensors in
      let index = tensors.firstIndex { $0.0 == "block.linear.weight" }!
      var floats = tensors[index].1.floats()
      floats[3] = .nan
      tensors[index].1 = StoredTensor(shape: [5, 6], floats: floats)
    }
    let source = try QuantizedSource(base, plan: try Self.plan())
    let error = #expect(throws: ConversionError.self) { try source.tensor("block.linear.weight") }
    #expect(
      error?.description
        == "unet.safetensors: tensor 'block.linear.weight' holds NaN or infinity, which int8 "
        + "cannot store")
    #expect(
      error?.remedy
        == .either([
          .choose(.keep, ["block.linear"], purpose: "to leave it unquantized"),
          .act("repair the weights"),
        ]))
  }

  @Test func castingRefusesMagnitudesAbove65504() throws {
    let base = MemorySource(
      location: "vae.safetensors", [("w", StoredTensor(shape: [2], floats: [1, -70000]))])
    let half = CastingSource(base, to: try #require(Schemes.named("f16")))
    let error = #expect(throws: ConversionError.self) { try half.tensor("w") }
    #expect(
      error?.description
        == "vae.safetensors: tensor 'w' holds a magnitude above 65504, which f16 cannot store")
    #expect(error?.remedy == .storeAs(["bf16", "f32"]))
    let bfloat = CastingSource(base, to: try #require(Schemes.named("bf16")))
    #expect(try bfloat.tensor("w").floats() == [1, -70144])
    let largest = MemorySource(
      location: "vae.safetensors", [("w", StoredTensor(shape: [1], floats: [3.4e38]))])
    let overflow = #expect(throws: ConversionError.self) {
      try CastingSource(largest, to: try #require(Schemes.named("bf16"))).tensor("w")
    }
    #expect(
      overflow?.description
        == "vae.safetensors: tensor 'w' holds a magnitude above 3.3895e+38, which bf16 cannot "
        + "store")
    #expect(overflow?.remedy == .storeAs(["f32"]))
  }

  @Test func castingKeepsIntegers() throws {
    let base = MemorySource(
      location: "text",
      [
        (
          "ids",
          StoredTensor(
            shape: [2], encoding: .plain(.i64), parts: [ByteSlice([UInt8](repeating: 1, count: 16))]
          )
        ),
        ("w", StoredTensor(shape: [1, 2], floats: [0.1, 0.2])),
      ])
    let source = CastingSource(base, to: try #require(Schemes.named("bf16")))
    #expect(source.entry("ids")?.encoding == .plain(.i64))
    #expect(try source.tensor("ids").encoding == .plain(.i64))
    #expect(try source.tensor("w").encoding == .plain(.bf16))
    #expect(throws: WeightError.self) { try source.tensor("nothing") }
  }

  @Test func refusesKindsThatCannotBeWidened() throws {
    let base = MemorySource(
      location: "odd.safetensors",
      [
        (
          "w",
          StoredTensor(
            shape: [1], encoding: .plain(.c64), parts: [ByteSlice([UInt8](repeating: 0, count: 8))])
        )
      ])
    let source = CastingSource(base, to: try #require(Schemes.named("f16")))
    let error = #expect(throws: ConversionError.self) { try source.tensor("w") }
    #expect(error?.description == "odd.safetensors: tensor 'w' is c64, which cannot be converted")
    #expect(error?.remedy == nil)
  }

  /// Messages name a tensor as its file does, also behind these sources.
  @Test func namesInTheFileAreKept() throws {
    let half = CastingSource(
      PrefixedInFile(base: Self.weights()), to: try #require(Schemes.named("f16")))
    #expect(half.storedName("conv_in.weight") == "file.conv_in.weight")
    let quantized = try QuantizedSource(half, plan: try Self.plan())
    #expect(quantized.storedName("conv_in.weight") == "file.conv_in.weight")
  }
}

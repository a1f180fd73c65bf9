import ModelSources
import Packfiles
import Support
import Tensors
import TestSupport
import Testing

@Suite struct RoundTripTests {
  static let encodings: [TensorEncoding] =
    ElementKind.allCases.map { .plain($0) } + [
      .int8, .symmetric(bits: 8, groupSize: 1), .symmetric(bits: 8, groupSize: 3),
      .symmetric(bits: 8, groupSize: 64), .symmetric(bits: 4, groupSize: nil),
      .symmetric(bits: 4, groupSize: 1), .symmetric(bits: 4, groupSize: 32), .float8,
      .codes(.rotatedInt8), .symmetric(bits: 16, groupSize: nil),
      .symmetric(bits: 6, groupSize: nil), .symmetric(bits: 5, groupSize: 32),
      .codes(.kQuant(bits: 4)), .codes(.kQuant(bits: 5)), .codes(.q6K),
    ]

  static let shapes: [Shape] = [
    [], [0], [1], [7], [8], [0, 3], [3, 0], [1, 1], [5, 3], [4, 32], [2, 3, 3, 3], [16, 8, 4, 4],
    [1, 2, 1, 2, 1, 2, 1, 2], [40, 130], [20, 256],
  ]

  @Test(arguments: [true, false]) func everyEncodingAndShape(codes: Bool) throws {
    var tensors: [(String, StoredTensor)] = []
    for encoding in Self.encodings {
      for shape in Self.shapes where encoding.partSizes(for: shape) != nil {
        tensors.append(
          ("\(encoding.name)\(shape.extents)".filter { $0 != " " }, Samples.noise(shape, encoding)))
      }
    }
    #expect(tensors.count > 330)
    let model = Samples.model(tensors)
    try withTemporaryFolder { folder in
      let reader = try written(model, in: folder, codes: codes)
      let copy = try reader.model()
      #expect(copy.components[0].weights.names == tensors.map(\.0))
      for (name, tensor) in tensors {
        #expect(copy.components[0].weights.entry(name) == tensor.entry, "\(name)")
        let read = try copy.components[0].weights.tensor(name)
        #expect(read.entry == tensor.entry, "\(name)")
        #expect(read.parts.map(\.array) == tensor.parts.map(\.array), "\(name)")
      }
      try reader.check { _, _ in }
    }
  }

  /// Elements of a block on both sides of its size, in 1, 2 and 4 planes.
  @Test(arguments: [262_143, 262_144, 262_145, 700_000])
  func blocks(count: Int) throws {
    let model = Samples.model([
      ("f16", Samples.gaussian([count], .f16)), ("f32", Samples.gaussian([count], .f32)),
      ("codes", Samples.int8([1, count])),
    ])
    try withTemporaryFolder { folder in
      let reader = try written(model, in: folder)
      let tensors = reader.manifest.components[0].tensors
      #expect(tensors.map(\.isCoded) == [true, true, true])
      #expect(tensors.map { $0.regions[0].coding?.planes } == [2, 4, 1])
      #expect(try contents(of: reader.model()) == contents(of: model))
    }
  }

  /// Words of small codes: the plane of their high bytes takes a bit for each code, and all codes
  /// take fewer than 8.
  @Test func smallWideCodesTakeFewBits() throws {
    var randoms = Randoms(seed: 9)
    let shape: Shape = [4, 70_000]
    let encoding = TensorEncoding.symmetric(bits: 16, groupSize: nil)
    let codes = (0..<shape.count).map { index -> Int16 in
      index % 70_000 == 0 ? 32767 : Int16((randoms.gaussian() * 20).rounded())
    }
    let scales = ByteSlice([Float](repeating: 0.001, count: 4))
    let tensor = StoredTensor(
      shape: shape, encoding: encoding, parts: encoding.packed(codes, for: shape) + [scales])
    try withTemporaryFolder { folder in
      let reader = try written(Samples.model([("wide", tensor)]), in: folder)
      let region = reader.manifest.components[0].tensors[0].regions[0]
      #expect(region.coding?.planes == 2)
      // The entropy of these codes is 6.37 bits.
      #expect(Double(region.length * 8) < 7.6 * Double(shape.count))
      let read = try reader.model().components[0].weights.tensor("wide")
      #expect(read.parts[0].array == tensor.parts[0].array)
      #expect(read.codes(row: 1) == Array(codes[70_000..<140_000]))
    }
  }

  /// Codes of 6 bits are coded to nearly their entropy, because their low bits are apart.
  @Test func splitCodesAreCoded() throws {
    var randoms = Randoms(seed: 10)
    let shape: Shape = [8, 70_000]
    let encoding = TensorEncoding.symmetric(bits: 6, groupSize: nil)
    let codes = (0..<shape.count).map { _ in
      Int16(max(-31, min(31, (randoms.gaussian() * 5).rounded())))
    }
    let scales = ByteSlice([Float](repeating: 0.001, count: 8))
    let tensor = StoredTensor(
      shape: shape, encoding: encoding, parts: encoding.packed(codes, for: shape) + [scales])
    try withTemporaryFolder { folder in
      let reader = try written(Samples.model([("six", tensor)]), in: folder)
      let regions = reader.manifest.components[0].tensors[0].regions
      let bits = Double(8 * (regions[0].length + regions[1].length)) / Double(shape.count)
      // log2(5 * 4.1327) = 4.37
      #expect((4.3...4.5).contains(bits), "\(bits)")
    }
  }

  @Test func otherPartsOfAModelAreKept() throws {
    try withTemporaryFolder { folder in
      let model = Samples.mixed
      let reader = try written(
        model, in: folder, parity: ["psnr": 42.5, "pictures": [1, nil]])
      let copy = try reader.model()
      #expect(copy.index == model.index)
      #expect(copy.scheduler == model.scheduler)
      #expect(copy.provenance == model.provenance)
      #expect(copy.components.map(\.name) == ["unet", "vae"])
      #expect(copy.components.map(\.className) == ["UNet2DConditionModel", "AutoencoderKL"])
      #expect(copy.components.map(\.config) == model.components.map(\.config))
      #expect(copy.components[0].config["mid"] == .null)
      #expect(copy.files.map(\.path) == ["tokenizer/merges.txt", "notes"])
      #expect(copy.files.map(\.bytes.array) == model.files.map(\.bytes.array))
      #expect(copy.layout == "decant file")
      #expect(reader.parity == ["psnr": 42.5, "pictures": [1, nil]])
      #expect(try contents(of: copy) == contents(of: model))
    }
  }

  /// What no input of the model states is marked in the provenance, which other readers keep.
  @Test func defaultsAreMarkedInTheProvenance() throws {
    try withTemporaryFolder { folder in
      let stated = try written(Samples.mixed, in: folder)
      #expect(stated.manifest.provenance == Samples.mixed.provenance)
      let plain = try stated.model()
      #expect(!plain.indexIsDefault && !plain.schedulerIsDefault && !plain.configsAreDerived)
      #expect(plain.files.allSatisfy { !$0.isDefault })

      var model = Samples.mixed
      (model.indexIsDefault, model.schedulerIsDefault) = (true, true)
      model.predictionEvidence = PredictionEvidence()
      model.components[1].configIsDerived = true
      model.files[0] = ModelSource.File(
        path: model.files[0].path, bytes: model.files[0].bytes, isDefault: true)
      let reader = try written(model, in: folder)
      #expect(
        reader.manifest.provenance == [
          "tool": "test", "derived": ["vae"],
          "defaults": ["index", "scheduler", "tokenizer/merges.txt"], "evidence": [:],
        ])
      let copy = try reader.model()
      #expect(copy.provenance == model.provenance)
      #expect(copy.indexIsDefault && copy.schedulerIsDefault)
      #expect(copy.predictionEvidence == PredictionEvidence())
      #expect(copy.components.map(\.configIsDerived) == [false, true])
      #expect(copy.files.map(\.isDefault) == [true, false])
    }
  }

  @Test func aModelWithoutSchedulerOrWeights() throws {
    try withTemporaryFolder { folder in
      var model = Samples.model([])
      model.scheduler = nil
      model.components = []
      let reader = try written(model, in: folder)
      #expect(try reader.model().scheduler == nil)
      #expect(try reader.model().components.isEmpty)
      #expect(reader.parity == nil)
      try reader.check { _, _ in }
    }
  }

  @Test func aLongFileIsCodedAndKept() throws {
    try withTemporaryFolder { folder in
      let lines = (0..<60_000).map { "token \($0)\n" }.joined()
      let zeros = ModelSource.File(
        path: "zeros", bytes: ByteSlice([UInt8](repeating: 0, count: 600_000)))
      let model = Samples.model([], files: [Samples.file("vocab.txt", lines), zeros])
      let reader = try written(model, in: folder)
      #expect(reader.manifest.files[0].region.length * 2 < lines.utf8.count)
      // The format limits every chunk to sixteen times its stored size.
      #expect(reader.manifest.files[1].region.length * 16 > 600_000)
      #expect(reader.manifest.files[1].region.length * 7 < 600_000)
      #expect(try reader.model().files[0].bytes.array == Array(lines.utf8))
      #expect(try reader.model().files[1].bytes.array == zeros.bytes.array)
    }
  }

  @Test func unknownNamesAreRefused() throws {
    try withTemporaryFolder { folder in
      let weights = try written(Samples.mixed, in: folder).model().components[0].weights
      #expect(weights.entry("none") == nil)
      #expect(throws: WeightError.self) { try weights.tensor("none") }
    }
  }
}

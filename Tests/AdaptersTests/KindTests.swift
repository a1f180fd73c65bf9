import Adapters
import Checkpoints
import Foundation
import ModelSources
import Models
import Support
import Tensors
import TestSupport
import Testing

/// LoKr, DoRA and norms, compared with explicit sums.
@Suite struct KindTests {
  private static let linear = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
  private static let convolution = "down_blocks.0.resnets.0.conv1"

  private func model() throws -> ModelSource {
    let family = try #require(Family.named("sd-v1-4"))
    return try #require(try family.narrowed(vocabulary: 64))
  }

  private func counting(_ shape: Shape, from start: Float = 1) -> StoredTensor {
    StoredTensor(shape: shape, floats: (0..<shape.count).map { (start + Float($0 % 7)) / 8 })
  }

  private func scalar(_ value: Float) -> StoredTensor { StoredTensor(shape: [], floats: [value]) }

  /// A merged tensor, and the kinds of the account.
  private func merged(
    _ parts: [(String, StoredTensor)], _ module: String, tensor: String = "weight",
    scale: Double = 1, settings: String? = nil
  ) throws -> (values: [Float], account: AdapterMerge.Account) {
    let model = try model()
    return try withTemporaryFolder { folder in
      let path = folder + "/adapter_model.safetensors"
      try writeSafetensors(
        MemorySource(location: "test", parts.map { ("unet.\(module).\($0.0)", $0.1) }), to: path)
      if let settings {
        try settings.write(
          toFile: folder + "/adapter_config.json", atomically: true, encoding: .utf8)
      }
      let merge = try AdapterMerge([.init(path: path, scale: scale)], into: model)
      let unet = try #require(model["unet"])
      let found = try merge.weights(of: unet, as: nil).tensor("\(module).\(tensor)").floats()
      return (found, try #require(merge.accounts.first))
    }
  }

  private func weight(_ module: String, _ tensor: String = "weight") throws -> [Float] {
    try #require(try model()["unet"]).weights.tensor("\(module).\(tensor)").floats()
  }

  /// `a` [rows, inner] by `b` [inner, columns], in float64.
  private func product(_ a: [Double], _ b: [Double], inner: Int) -> [Double] {
    let (rows, columns) = (a.count / inner, b.count / inner)
    return (0..<rows * columns).map { index in
      (0..<inner).reduce(0) {
        $0 + a[index / columns * inner + $1] * b[$1 * columns + index % columns]
      }
    }
  }

  private func doubles(_ tensor: StoredTensor) -> [Double] { tensor.floats().map { Double($0) } }

  // MARK: - LoKr

  /// The Kronecker product of `a` [p, q] and `b` [r, s, kernel], indexed as a convolution.
  private func kronecker(
    _ a: [Double], _ b: [Double], columns: (Int, Int), kernel: Int
  ) -> [Double] {
    let (q, s) = columns
    let (p, r) = (a.count / q, b.count / s / kernel)
    var values = [Double](repeating: 0, count: p * r * q * s * kernel)
    for i in 0..<p {
      for k in 0..<r {
        for j in 0..<q {
          for l in 0..<s {
            for place in 0..<kernel {
              values[((i * r + k) * q * s + j * s + l) * kernel + place] =
                a[i * q + j] * b[(k * s + l) * kernel + place]
            }
          }
        }
      }
    }
    return values
  }

  private func expectSum(
    _ parts: [(String, StoredTensor)], _ module: String, change: [Double],
    settings: String? = nil
  ) throws {
    let (found, account) = try merged(parts, module, settings: settings)
    let sums = zip(try weight(module), change).map { Float(Double($0) + $1) }
    #expect(relativeError(found, sums) < 1e-6)
    #expect(account.kinds == ["LoKr": 1])
  }

  /// Where both factors are whole, LyCORIS ignores alpha; PEFT divides it by the rank of its
  /// settings.
  @Test func kroneckerProductsOfWholeFactors() throws {
    let (one, two) = (counting([4, 2]), counting([16, 32], from: 2))
    let change = kronecker(doubles(one), doubles(two), columns: (2, 32), kernel: 1)
    let parts = [("lokr_w1", one), ("lokr_w2", two)]
    try expectSum(parts, Self.linear, change: change)
    try expectSum(parts + [("alpha", scalar(99))], Self.linear, change: change)
    try expectSum(
      parts, Self.linear, change: change.map { $0 * 0.5 },
      settings: #"{"peft_type": "LOKR", "alpha": 4, "r": 8}"#)
    try expectSum(
      parts, Self.linear, change: change.map { $0 * 2 },
      settings: #"{"peft_type": "LOKR", "alpha": 4, "r": 8, "rank_pattern": {"to_q": 2}}"#)
  }

  @Test func kroneckerProductsOfProducts() throws {
    let whole = counting([4, 2])
    let (outer, inner) = (counting([16, 4]), counting([4, 32], from: 3))
    let second = product(doubles(outer), doubles(inner), inner: 4)
    let change = kronecker(doubles(whole), second, columns: (2, 32), kernel: 1)
    let parts = [("lokr_w2_a", outer), ("lokr_w2_b", inner), ("alpha", scalar(2))]
    try expectSum(parts + [("lokr_w1", whole)], Self.linear, change: change.map { $0 * 0.5 })

    let (left, right) = (counting([4, 4], from: 2), counting([4, 2]))
    let first = product(doubles(left), doubles(right), inner: 4)
    try expectSum(
      parts + [("lokr_w1_a", left), ("lokr_w1_b", right)], Self.linear,
      change: kronecker(first, second, columns: (2, 32), kernel: 1).map { $0 * 0.5 })
    let two = counting([16, 32])
    try expectSum(
      [("lokr_w1_a", left), ("lokr_w1_b", right), ("lokr_w2", two), ("alpha", scalar(1))],
      Self.linear,
      change: kronecker(first, doubles(two), columns: (2, 32), kernel: 1).map { $0 * 0.25 })
  }

  @Test func kroneckerProductsOfConvolutions() throws {
    let one = counting([4, 2])
    let whole = counting([8, 16, 3, 3])
    try expectSum(
      [("lokr_w1", one), ("lokr_w2", whole)], Self.convolution,
      change: kronecker(doubles(one), doubles(whole), columns: (2, 16), kernel: 9))

    // LyCORIS stores the inner matrix flat; some of its functions keep the kernel's axes.
    let outer = counting([8, 2])
    for shape in [[2, 144], [2, 16, 3, 3]] as [Shape] {
      let inner = counting(shape, from: 2)
      let second = product(doubles(outer), doubles(inner), inner: 2)
      try expectSum(
        [("lokr_w1", one), ("lokr_w2_a", outer), ("lokr_w2_b", inner), ("alpha", scalar(1))],
        Self.convolution,
        change: kronecker(doubles(one), second, columns: (2, 16), kernel: 9).map { $0 * 0.5 })
    }

    // The Tucker form: sum_ij core[i, j, kernel] outer[i, r] inner[j, s].
    let (core, left, right) = (
      counting([2, 2, 3, 3]), counting([2, 8], from: 2), counting([2, 16], from: 3)
    )
    let (t, a, b) = (doubles(core), doubles(left), doubles(right))
    var second = [Double](repeating: 0, count: 8 * 16 * 9)
    for r in 0..<8 {
      for s in 0..<16 {
        for place in 0..<9 {
          for i in 0..<2 {
            for j in 0..<2 {
              second[(r * 16 + s) * 9 + place] +=
                t[(i * 2 + j) * 9 + place] * a[i * 8 + r] * b[j * 16 + s]
            }
          }
        }
      }
    }
    try expectSum(
      [
        ("lokr_w1", one), ("lokr_w2_a", left), ("lokr_w2_b", right), ("lokr_t2", core),
        ("alpha", scalar(4)),
      ], Self.convolution,
      change: kronecker(doubles(one), second, columns: (2, 16), kernel: 9).map { $0 * 2 })
  }

  // MARK: - DoRA

  /// `m · (W + change) / |W + change|`, with the norms over each output channel, or over each input
  /// channel.
  private func decomposed(
    _ sum: [Double], _ norms: [Double], rows: Int, kernel: Int, ofInputs: Bool
  ) -> [Double] {
    let length = sum.count / rows
    func channel(_ index: Int) -> Int { ofInputs ? index % length / kernel : index / length }
    var squares = [Double](repeating: 0, count: norms.count)
    for (index, number) in sum.enumerated() { squares[channel(index)] += number * number }
    return sum.enumerated().map { index, number in
      number * norms[channel(index)] / squares[channel(index)].squareRoot()
    }
  }

  /// LyCORIS's and OneTrainer's shapes of outputs and of inputs, and PEFT's.
  @Test(
    arguments: [
      ("dora_scale", [64, 1], false), ("dora_scale", [1, 64], true), ("dora_scale", [64], false),
      ("lora_magnitude_vector", [64], false),
    ] as [(String, Shape, Bool)])
  func decompositionOfMatrices(part: String, shape: Shape, ofInputs: Bool) throws {
    let (down, up, norms) = (counting([2, 64]), counting([64, 2]), counting(shape, from: 5))
    let change = product(doubles(up), doubles(down), inner: 2).map { $0 * 0.5 }
    let own = try weight(Self.linear)
    let sum = zip(own, change).map { Double($0) + $1 }
    let expected = decomposed(sum, doubles(norms), rows: 64, kernel: 1, ofInputs: ofInputs)
    let parts = [
      ("lora_down.weight", down), ("lora_up.weight", up), ("alpha", scalar(1)), (part, norms),
    ]
    let (found, account) = try merged(parts, Self.linear)
    #expect(relativeError(found, expected.map { Float($0) }) < 1e-6)
    #expect(account.kinds == ["DoRA": 1])
    // A scale interpolates between the weight and the result.
    let half = zip(own, expected).map { Float((Double($0) + $1) / 2) }
    #expect(relativeError(try merged(parts, Self.linear, scale: 0.5).values, half) < 1e-6)
    #expect(relativeError(try merged(parts, Self.linear, scale: 0).values, own) < 1e-7)
  }

  @Test(
    arguments: [
      ("dora_scale", [32, 1, 1, 1], false), ("dora_scale", [1, 32, 1, 1], true),
      ("lora_magnitude_vector", [1, 32, 1, 1], false),
    ] as [(String, Shape, Bool)])
  func decompositionOfConvolutions(part: String, shape: Shape, ofInputs: Bool) throws {
    let (down, up, norms) = (
      counting([2, 32, 3, 3]), counting([32, 2, 1, 1]), counting(shape, from: 5)
    )
    let change = product(doubles(up), doubles(down), inner: 2)
    let sum = zip(try weight(Self.convolution), change).map { Double($0) + $1 }
    let expected = decomposed(sum, doubles(norms), rows: 32, kernel: 9, ofInputs: ofInputs)
    let (found, _) = try merged(
      [("lora_down.weight", down), ("lora_up.weight", up), (part, norms)], Self.convolution)
    #expect(relativeError(found, expected.map { Float($0) }) < 1e-6)
  }

  /// LyCORIS decomposes the sums of its other kinds too.
  @Test func decompositionOfOtherKinds() throws {
    let norms = counting([64, 1], from: 5)
    let (one, two) = (counting([4, 2]), counting([16, 32], from: 2))
    let kron = kronecker(doubles(one), doubles(two), columns: (2, 32), kernel: 1)
    let hada = zip(
      product(doubles(counting([64, 2])), doubles(counting([2, 64])), inner: 2),
      product(doubles(counting([64, 2], from: 2)), doubles(counting([2, 64])), inner: 2)
    ).map { $0 * $1 }
    let parts: [([(String, StoredTensor)], [Double])] = [
      ([("lokr_w1", one), ("lokr_w2", two)], kron),
      (
        [
          ("hada_w1_a", counting([64, 2])), ("hada_w1_b", counting([2, 64])),
          ("hada_w2_a", counting([64, 2], from: 2)), ("hada_w2_b", counting([2, 64])),
        ], hada
      ),
    ]
    let own = try weight(Self.linear)
    for (tensors, change) in parts {
      let sum = zip(own, change).map { Double($0) + $1 }
      let expected = decomposed(sum, doubles(norms), rows: 64, kernel: 1, ofInputs: false)
      let (found, account) = try merged(tensors + [("dora_scale", norms)], Self.linear)
      #expect(relativeError(found, expected.map { Float($0) }) < 1e-6)
      #expect(account.kinds == ["DoRA": 1])
    }
  }

  /// An adapter's sum does not depend on other adapters.
  @Test func decompositionsAddUpInAnyOrder() throws {
    let model = try model()
    let plain = [("lora_A.weight", counting([2, 64])), ("lora_B.weight", counting([64, 2]))]
    let decomposed = plain + [("lora_magnitude_vector", counting([64], from: 5))]
    try withTemporaryFolder { folder in
      let paths = try [plain, decomposed].enumerated().map { index, parts in
        let path = "\(folder)/\(index).safetensors"
        try writeSafetensors(
          MemorySource(
            location: "test", parts.map { ("unet.\(Self.linear).\($0.0)", $0.1) }), to: path)
        return path
      }
      let sums = try [paths, paths.reversed()].map { paths in
        let merge = try AdapterMerge(paths.map { .init(path: $0, scale: 1) }, into: model)
        let unet = try #require(model["unet"])
        return try merge.weights(of: unet, as: nil).tensor(Self.linear + ".weight").floats()
      }
      #expect(relativeError(sums[0], sums[1]) < 1e-6)
    }
  }

  @Test func decompositionsThatAreRefused() throws {
    let pair = [("lora_A.weight", counting([2, 64])), ("lora_B.weight", counting([64, 2]))]
    let settings = #"{"peft_type": "LORA", "lora_alpha": 2, "use_dora": true}"#
    #expect(throws: AdapterError.self) { try merged(pair, Self.linear, settings: settings) }
    #expect(throws: Never.self) {
      try merged(
        pair + [("lora_magnitude_vector", counting([64]))], Self.linear, settings: settings)
    }
    let biased = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0"
    #expect(throws: AdapterError.self) {
      try merged(
        pair + [("dora_scale", counting([64, 1])), ("lora_B.bias", counting([64]))], biased)
    }
  }

  // MARK: - Norms and accounts

  /// LyCORIS stores differences of norms.
  @Test func differencesOfNorms() throws {
    let norm = "down_blocks.0.resnets.0.norm1"
    let (scale, shift) = (counting([32]), counting([32], from: 2))
    for (tensor, change) in [("weight", scale), ("bias", shift)] {
      let (found, account) = try merged(
        [("w_norm", scale), ("b_norm", shift)], norm, tensor: tensor, scale: 2)
      let sums = zip(try weight(norm, tensor), change.floats()).map { $0 + 2 * $1 }
      #expect(relativeError(found, sums) < 1e-6)
      #expect(account.kinds == ["whole difference": 1] && account.withoutAlpha.isEmpty)
    }
  }

  @Test func accountsListChanges() throws {
    let pair = [("lora_A.weight", counting([2, 64])), ("lora_B.weight", counting([64, 2]))]
    let (_, account) = try merged(pair, Self.linear, scale: 0.8)
    #expect(account.withoutAlpha == ["unet." + Self.linear])
    #expect(account.changes.map(\.kind) == [.changed, .assumed])
    #expect(account.changes.map(\.component) == ["unet", nil])
    #expect(account.changes.map(\.isRequested) == [true, true])
    #expect(
      account.changes[0].summary
        == "LoRA of adapter_model.safetensors merged into 1 module, scale 0.8")
    let (_, stated) = try merged(pair + [("alpha", scalar(2))], Self.linear)
    #expect(stated.changes.map(\.kind) == [.changed])
    let (_, configured) = try merged(pair, Self.linear, settings: #"{"lora_alpha": 2}"#)
    #expect(configured.changes.map(\.kind) == [.changed])
    // PEFT's default, and the alpha of another component.
    let (_, standard) = try merged(pair, Self.linear, settings: #"{"peft_type": "LORA"}"#)
    #expect(standard.changes.map(\.kind) == [.changed])
    let (_, other) = try merged(pair, Self.linear, settings: #"{"text_encoder.lora_alpha": 2}"#)
    #expect(other.changes.map(\.kind) == [.changed, .assumed])
  }
}

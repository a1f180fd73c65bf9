import CKernels
import Kernels
import Support
import Tensors
import TestSupport
import Testing

/// `project`, `matmul` and `dot`.
struct LinearTests {
  /// The reference of `project` in float64: x [rows, in], w [out, in].
  private func reference(_ x: [Float], _ w: [Float], _ bias: [Float]?, inputs: Int) -> [Double] {
    let (rows, outputs) = (x.count / inputs, w.count / inputs)
    return (0..<rows * outputs).map { index in
      let (row, output) = (index / outputs, index % outputs)
      var sum = Double(bias?[output] ?? 0)
      for i in 0..<inputs { sum += Double(x[row * inputs + i]) * Double(w[output * inputs + i]) }
      return sum
    }
  }

  /// `project` for tokens as rows.
  private func linear(
    _ x: Tensor, weight: StoredTensor, bias: [Float]?
  ) -> Tensor {
    let rows = x.shape[0]
    let planes = transposed(x.reshaped([1, rows, x.shape.count / max(1, rows)]))
    let found = transposed(project(planes, weight: weight, bias: bias))
    return found.reshaped([rows, weight.shape.rows])
  }

  private func check(rows: Int, inputs: Int, outputs: Int) {
    let x = randomTensor([rows, inputs], seed: rows)
    let w = randomTensor([outputs, inputs], seed: inputs)
    for bias in [nil, randomTensor([outputs], seed: outputs).values] {
      let found = linear(x, weight: StoredTensor(w), bias: bias)
      let expected = reference(x.values, w.values, bias, inputs: inputs)
      let distance = error(found.values, expected, floor: 0.1)
      #expect(found.shape == [rows, outputs])
      #expect(distance < Tolerance.sums, "\(rows) x \(inputs) -> \(outputs): \(distance)")
    }
  }

  @Test func everySmallShape() {
    for rows in [1, 2, 3, 7, 16, 17] {
      for inputs in [1, 2, 3, 8, 15, 33] {
        for outputs in [1, 2, 5, 16, 17, 66] { check(rows: rows, inputs: inputs, outputs: outputs) }
      }
    }
  }

  @Test(arguments: [
    (1, 320, 1280), (77, 768, 100), (150, 768, 100), (135, 2500, 330), (330, 40, 530),
    (3, 2500, 70), (5, 1153, 3), (40, 700, 340),
    (200, 1400, 340),
  ])
  func shapesOfSeveralTiles(rows: Int, inputs: Int, outputs: Int) {
    check(rows: rows, inputs: inputs, outputs: outputs)
  }

  /// Tiles are as large as the bounds allow.
  @Test func tilesFitACache() {
    #expect(ProductTiles.parts(1350).count > 1 && ProductTiles.mostRows < 340)
    #expect(ProductTiles.tallest(longest: ProductTiles.parts(1400)[0].count, halves: 2) < 160)
    for length in [0, 1, 320, 640, 641, 1280, 1281, 2560, 11_520] {
      let parts = ProductTiles.parts(length)
      #expect(parts.map(\.lowerBound) == [0] + parts.dropLast().map(\.upperBound))
      #expect(parts.last?.upperBound == length)
      let longest = parts.map(\.count).max() ?? 0
      #expect(longest <= ProductTiles.longestPart)
      for halves in 1...2 {
        let rows = halves * ProductTiles.tallest(longest: longest, halves: halves)
        #expect(rows * longest <= ProductTiles.mostWeights && rows <= ProductTiles.mostRows)
        // As many rows as fit, in whole blocks.
        let isFull = (rows + 2 * 14) * longest > ProductTiles.mostWeights
        #expect(rows == ProductTiles.mostRows || isFull)
      }
    }
  }

  /// The pixels of a large image are packed again for each tile of weights, those of a small image
  /// once. The results are the same.
  @Test func pixelsPackedOnceOrPerTileGiveTheSameResults() {
    let (inputs, outputs, tokens) = (520, 340, 33_000)
    let x = randomTensor([1, inputs, tokens], seed: 1)
    let w = StoredTensor(randomTensor([outputs, inputs], seed: 2))
    let whole = project(x, weight: w, bias: nil)
    // Fewer pixels would use another kernel.
    let count = inputs / 4 + 15
    for first in [0, 2048, tokens - count] {
      let some = Tensor(
        shape: [1, inputs, count],
        values: (0..<inputs).flatMap { x.values[$0 * tokens + first..<$0 * tokens + first + count] }
      )
      let found = project(some, weight: w, bias: nil)
      for row in 0..<outputs {
        #expect(
          found.values[row * count..<(row + 1) * count]
            == whole.values[row * tokens + first..<row * tokens + first + count])
      }
    }
  }

  @Test func acceptsEveryRank() {
    let x = randomTensor([2, 8, 3, 5], seed: 1)
    let w = StoredTensor(randomTensor([5, 8, 1, 1], seed: 2))
    let found = project(x, weight: w, bias: nil)
    #expect(found.shape == [2, 5, 3, 5])
    #expect(found.values == project(x.reshaped([2, 8, 15]), weight: w, bias: nil).values)
    let column = project(x.reshaped([30, 8]), weight: w, bias: nil)
    #expect(column.shape == [30, 5])
  }

  @Test func biasAndResidual() {
    let x = randomTensor([2, 40, 70], seed: 1)
    let w = StoredTensor(randomTensor([33, 40], seed: 2))
    let residual = randomTensor([2, 33, 70], seed: 3)
    let plain = project(x, weight: w, bias: nil)
    let found = project(x, weight: w, bias: nil, residual: residual)
    let expected = zip(plain.values, residual.values).map { Double($0) + Double($1) }
    #expect(error(found.values, expected) < Tolerance.sums)
  }

  /// A split sum with a bias and a residual, where neither rows nor columns fill a tile.
  @Test func biasAndResidualInPartialTiles() {
    let (inputs, outputs, tokens) = (1500, 33, 237)
    let x = randomTensor([1, inputs, tokens], seed: 1)
    let w = randomTensor([outputs, inputs], seed: 2)
    let bias = randomTensor([outputs], seed: 4).values
    let residual = randomTensor([1, outputs, tokens], seed: 3)
    let expected = (0..<outputs * tokens).map { place in
      let (row, token) = (place / tokens, place % tokens)
      return (0..<inputs).reduce(Double(bias[row]) + Double(residual.values[place])) {
        $0 + Double(w.values[row * inputs + $1]) * Double(x.values[$1 * tokens + token])
      }
    }
    onEveryInstructionSet { level in
      let found = project(x, weight: StoredTensor(w), bias: bias, residual: residual)
      #expect(error(found.values, expected) < Tolerance.sums, "level \(level)")
    }
  }

  @Test func gatesAreThoseOfGEGLU() {
    for (inputs, outputs, tokens) in [(8, 4, 3), (40, 60, 70), (300, 340, 530), (1400, 160, 140)] {
      let x = randomTensor([2, inputs, tokens], seed: 1)
      let w = StoredTensor(randomTensor([2 * outputs, inputs], seed: 2))
      let bias = randomTensor([2 * outputs], seed: 3).values
      let found = project(x, weight: w, bias: bias, gated: true)
      let expected = transposed(geglu(transposed(project(x, weight: w, bias: bias))))
      #expect(found.shape == [2, outputs, tokens])
      #expect(error(found.values, expected.values.map(Double.init)) < Tolerance.sums)
    }
  }

  @Test func everyInstructionSet() {
    onEveryInstructionSet { _ in
      for rows in 1...33 { check(rows: rows, inputs: 19, outputs: 15) }
      for outputs in 1...30 { check(rows: 80, inputs: 300, outputs: outputs) }
    }
  }

  /// Long sums are divided into parts that do not end with a group of codes.
  @Test(arguments: weightEncodings, [33, 2500])
  func encodingsGiveTheResultsOfWidenedWeights(_ encoding: TensorEncoding, inputs: Int) {
    let x = randomTensor([140, inputs], seed: 1)
    let weights = randomWeights([70, inputs], encoding, seed: 2)
    let bias = randomTensor([70], seed: 3).values
    let found = linear(x, weight: weights, bias: bias)
    #expect(found == linear(x, weight: StoredTensor(weights.widened()), bias: bias))
  }

  @Test(arguments: [ElementKind.f32, .f16])
  func misalignedWeightsAreRead(_ kind: ElementKind) {
    let x = randomTensor([4, 9], seed: 1)
    let w = randomWeights([6, 9], .plain(kind), seed: 2)
    let bytes = [0] + w.parts[0].array
    let weights = StoredTensor(
      shape: w.shape, encoding: w.encoding, parts: [ByteSlice(bytes)[1..<bytes.count]])
    let found = linear(x, weight: weights, bias: nil)
    #expect(found == linear(x, weight: w, bias: nil))
  }

  @Test func emptySumsGiveTheBias() {
    let x = Tensor(zeros: [1, 0, 5])
    let found = project(x, weight: StoredTensor(Tensor(zeros: [3, 0])), bias: [1, 2, 3])
    #expect(found.values == [1, 2, 3].flatMap { [Float](repeating: $0, count: 5) })
  }

  @Test(arguments: [TensorEncoding.plain(.f32), .plain(.f16), .symmetric(bits: 4, groupSize: 32)])
  func threadsDoNotMatter(_ encoding: TensorEncoding) {
    let x = randomTensor([700, 90], seed: 1)
    let weights = randomWeights([650, 90], encoding, seed: 2)
    let found = onEveryThreadCount { linear(x, weight: weights, bias: nil) }
    #expect(found[0] == found[1] && found[0] == found[2])
  }

  @Test func packedRows() {
    onEveryInstructionSet { level in
      for rows in 1...14 {
        for length in 1...49 {
          let stride = length + rows
          let source = (0..<14 * stride).map { UInt32($0) + 1 }
          let expected = (0..<14 * length).map { index in
            index % 14 < rows ? source[index % 14 * stride + index / 14] : 0
          }
          // One word after the end, which must not change.
          var found = [UInt32](repeating: 0xffff_ffff, count: 14 * length + 1)
          decant_pack_rows(source, stride, rows, length, &found)
          #expect(found == expected + [0xffff_ffff], "level \(level), \(rows) x \(length)")
        }
      }
    }
  }

  @Test func instructionSetsAreNamed() {
    let (names, available) = (InstructionSet.names, InstructionSet.available)
    #expect(names == ["portable", "avx2", "avx512", "avx512-vnni", "avx512-bf16"])
    #expect(names.starts(with: available))
    onEveryInstructionSet { level in #expect(level < available.count) }
  }

  @Test func matrixProducts() {
    for m in [0, 1, 2, 17, 330] {
      for k in [0, 1, 3, 40, 1200] {
        for n in [1, 2, 33, 70] {
          let a = randomTensor([m, k], seed: 1)
          let b = randomTensor([k, n], seed: 2)
          let expected = (0..<m * n).map { index in
            (0..<k).reduce(0.0) {
              $0 + Double(a.values[index / n * k + $1]) * Double(b.values[$1 * n + index % n])
            }
          }
          let found = matmul(a, b)
          let distance = error(found.values, expected, floor: 0.1)
          #expect(found.shape == [m, n])
          #expect(distance < Tolerance.sums, "\(m) x \(k) x \(n): \(distance)")
        }
      }
    }
  }

  @Test func dotIsFloat64() {
    onEveryInstructionSet { level in
      for count in [0, 1, 2, 15, 16, 17, 100, 1000] {
        let a = randomTensor([count], seed: 1).values
        let b = randomTensor([count], seed: 2).values
        let expected = zip(a, b).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
        // The products are multiples of 2^-46 and their sums are below 2^7, so no sum is rounded.
        #expect(dot(a, b) == expected, "level \(level), \(count)")
      }
    }
  }
}

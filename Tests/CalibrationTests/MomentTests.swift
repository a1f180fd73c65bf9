import Calibration
import Kernels
import Models
import Quantization
import Support
import Tensors
import TestSupport
import Testing

/// Second moments of the inputs of layers.
struct MomentTests {
  private static func convolution(_ name: String) -> ModuleSpec {
    ModuleSpec(
      name: name, kind: .convolution, role: .convolution, block: name,
      weight: TensorSpec(name: name + ".weight", shape: [2, 3, 3, 3]), bias: nil,
      window: ConvolutionWindow(stride: 1, paddingBefore: 1, paddingAfter: 1))
  }

  private static func linear(_ name: String, inputs: Int = 4) -> ModuleSpec {
    module(name, .linear, [2, inputs])
  }

  @Test func fewerBytesSplitTheInputs() {
    let module = Self.convolution("conv")
    func blocks(_ memory: Int) -> [[Int]] {
      LayerMoments(of: module, memory: memory).blocks.map(\.inputs)
    }
    let all = InputMoments.byteCount(of: 27)
    #expect(blocks(all) == [Array(0..<27)])
    #expect(LayerMoments.byteCount(of: module, memory: all) == all)
    // Rows of the kernel: the taps 0 to 2 of each channel, then 3 to 5, then 6 to 8.
    let kernelRows: [[Int]] = (0..<3).map { row in
      (0..<9).map { input in input / 3 * 9 + row * 3 + input % 3 }
    }
    #expect(blocks(all - 1) == kernelRows)
    // Single taps, each with all channels.
    let rows = 3 * InputMoments.byteCount(of: 9)
    #expect(blocks(rows - 1) == (0..<9).map { tap in (0..<3).map { $0 * 9 + tap } })
    #expect(blocks(0) == blocks(rows - 1))
  }

  @Test func channelsSplitLast() {
    let blocks = LayerMoments(of: Self.linear("l", inputs: 200), memory: 0).blocks
    #expect(blocks.map(\.inputs.count) == [64, 64, 64, 8])
    #expect(blocks.flatMap(\.inputs) == Array(0..<200))
  }

  @Test func guidedInputsWeighAsMuchAsBothBranches() throws {
    let collector = MomentCollector(modules: [Self.linear("l")], calls: 1, memory: 1 << 20)
    collector.begin(call: 0, branches: 2, guidanceScale: 3)
    let input = Tensor(
      shape: [4, 4], values: [1, 2, 0, -1, 3, 1, 1, 0, 0, 1, 2, 2, -1, 1, 4, 1])
    collector.willRun(module: "other", input: input)
    collector.willRun(module: "l", input: input)
    let found = try #require(collector.finish()["l"])
    #expect(found.rows == 4)
    let rows: [[Double]] = (0..<4).map { row in
      input.values[row * 4..<row * 4 + 4].map { Double($0) }
    }
    let guided: [[Double]] = (0..<2).map { row in
      (0..<4).map { (column: Int) -> Double in
        let difference: Double = 2 * rows[row][column]
        return 3 * rows[2 + row][column] - difference
      }
    }
    func product(_ rows: [[Double]], _ i: Int, _ j: Int) -> Double {
      rows.reduce(0) { sum, row in sum + row[i] * row[j] }
    }
    func squares(_ rows: [[Double]]) -> Double {
      (0..<4).reduce(0) { sum, i in sum + product(rows, i, i) }
    }
    let weight = squares(rows) / squares(guided)
    for i in 0..<4 {
      for j in 0...i {
        let expected = product(rows, i, j) + weight * product(guided, i, j)
        let sum = found.blocks[0].moments.sums[i * (i + 1) / 2 + j]
        #expect(abs(sum - expected) < 1e-4 * abs(expected) + 1e-6)
      }
    }
    #expect(collector.finish().isEmpty)
  }

  /// Few rows are spread over the image, and each call takes others.
  @Test func rowsAreSpread() throws {
    let module = Self.convolution("conv")
    let collector = MomentCollector(modules: [module], calls: 27 * 4, memory: 1 << 20)
    for call in 0..<3 {
      collector.begin(call: call, branches: 1, guidanceScale: 1)
      collector.willRun(
        module: "conv", input: Tensor(shape: [1, 3, 8, 8], values: (0..<192).map { Float($0) }))
    }
    // One row for each of the calls: 4 times the row's length over all of them.
    #expect(try #require(collector.finish()["conv"]).rows == 3)
  }

  @Test func layersWithTheSameInputShareIt() {
    func name(_ module: String) -> String { Self.linear(module).inputName }
    let block = "down_blocks.0.attentions.0.transformer_blocks.0"
    #expect(name(block + ".attn1.to_q") == name(block + ".attn1.to_v"))
    #expect(name(block + ".attn1.to_q") == name(block + ".attn1.to_k"))
    #expect(name(block + ".attn2.to_k") == name(block + ".attn2.to_v"))
    #expect(
      name(block + ".attn2.to_k") == name("mid_block.attentions.0.transformer_blocks.0.attn2.to_v"))
    #expect(
      name("down_blocks.0.resnets.0.time_emb_proj") == name("mid_block.resnets.1.time_emb_proj"))
    #expect(name(block + ".attn2.to_q") != name(block + ".attn2.to_k"))
    #expect(name(block + ".attn1.to_k") != name(block + ".attn2.to_k"))
    #expect(name(block + ".attn1.to_out.0") == block + ".attn1.to_out.0")
  }
}

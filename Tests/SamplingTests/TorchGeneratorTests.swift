import Sampling
import Support
import Tensors
import Testing

@Suite("torch.randn")
struct TorchGeneratorTests {
  @Test("equals torch's bits in successive draws")
  func bits() throws {
    for case .object(let entry) in try golden("noise.json").array("cases") {
      let seed = try #require(UInt64(try entry.string("seed")))
      var generator = TorchGenerator(seed: seed)
      let draws = try entry.array("draws")
      let sums = try entry.array("sums")
      for (index, size) in try entry.array("sizes").enumerated() {
        let count = try #require(size.integer)
        let values = generator.randn(count: count)
        #expect(values.count == count)
        let shown = count <= 64 ? values : Array(values.prefix(32) + values.suffix(32))
        #expect(shown == draws[index].floats, "seed \(seed), draw \(index) of \(count)")
        let sum = values.reduce(0) { $0 + Int($1.bitPattern) }
        #expect(sum == sums[index].integer, "seed \(seed), draw \(index) of \(count)")
      }
    }
  }

  @Test("has the mean and the variance of the standard normal distribution")
  func moments() {
    var generator = TorchGenerator(seed: 5)
    let values = generator.randn([4, 100, 100]).values.map { Double($0) }
    let mean = values.reduce(0, +) / Double(values.count)
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count)
    #expect(abs(mean) < 0.02)
    #expect(abs(variance - 1) < 0.03)
  }

  @Test("uses only the low 32 bits of the seed, as torch's engine does")
  func seeds() {
    var a = TorchGenerator(seed: 7)
    var b = TorchGenerator(seed: 7 + 1 << 32)
    #expect(a.randn(count: 20) == b.randn(count: 20))
  }
}

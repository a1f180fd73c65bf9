import Quantization
import Testing

/// The choice of options for layers, with known answers and against all choices.
struct AllocationTests {
  /// Layers with options of (bytes, squared step), and the sensitivities of the layers.
  private static func curve(
    _ layers: [[(Double, Double)]], _ sensitivities: [Double]? = nil
  ) -> AllocationCurve {
    let named = layers.enumerated().map { index, options in
      LayerOptions(
        name: "\(index)", weightCount: 1,
        options: options.map {
          LayerOption(scheme: Schemes.half, bytes: $0.0, squaredStep: $0.1)
        })
    }
    return AllocationCurve(named) { layer in
      sensitivities?[Int(layer.name) ?? 0] ?? 1
    }
  }

  private static func bytes(_ allocation: Allocation?) -> [Double] {
    allocation?.options.map(\.option.bytes) ?? []
  }

  @Test func onlyTheLowerHullIsChosen() {
    // (2, 9) is above the line from (1, 10) to (4, 2); (5, 3) is worse than (4, 2); (4, 4) is beaten.
    let curve = Self.curve([[(6, 1), (1, 10), (2, 9), (4, 2), (4, 4), (5, 3)]])
    #expect(curve.layers[0].options.map(\.bytes) == [1, 4, 6])
    #expect(curve.layers[0].options.map(\.squaredStep) == [10, 2, 1])
    #expect(curve.count == 2)
    #expect(curve.smallest.bytes == 1 && curve.largest.bytes == 6)
  }

  @Test func theSmallestOfEqualErrorsIsChosen() {
    let curve = Self.curve([[(3, 0), (2, 0), (1, 0)]])
    #expect(curve.layers[0].options.map(\.bytes) == [1])
    #expect(curve.count == 0)
  }

  /// The order of steps is that of the error that a byte saves, with the sensitivity.
  @Test func stepsAreSortedByWhatAByteSaves() {
    let options: [(Double, Double)] = [(1, 8), (2, 4), (3, 2)]
    let curve = Self.curve([options, options], [1, 3])
    // Savings: 4 and 2 of the first layer, 12 and 6 of the second.
    let found = (0...curve.count).map { Self.bytes(curve.allocation(steps: $0)) }
    #expect(found == [[1, 1], [1, 2], [1, 3], [2, 3], [3, 3]])
    #expect(curve.allocation(steps: 2).error == 8 + 3 * 2)
  }

  @Test func freeBytesAreFilled() {
    let curve = Self.curve([[(0, 100), (10, 0)], [(0, 9), (3, 0)], [(0, 4), (2, 0)]])
    // The first step does not fit and ends the prefix; the others do.
    #expect(Self.bytes(curve.allocation(within: 9)) == [0, 3, 2])
    #expect(Self.bytes(curve.allocation(within: 4)) == [0, 3, 0])
    #expect(Self.bytes(curve.allocation(within: 15)) == [10, 3, 2])
    #expect(curve.allocation(within: -1) == nil)
  }

  @Test func predicatesFindTheirPlace() {
    let curve = Self.curve([[(1, 8), (2, 4), (3, 2), (4, 1)]])
    #expect(curve.largest { $0.bytes <= 2.5 }?.bytes == 2)
    #expect(curve.largest { $0.bytes <= 0 } == nil)
    #expect(curve.largest { _ in true }?.bytes == 4)
    #expect(curve.smallest { $0.error <= 3 }?.bytes == 3)
    #expect(curve.smallest { $0.error <= 100 }?.bytes == 1)
    #expect(curve.smallest { $0.error <= 0.5 } == nil)
  }

  /// Random layers: never above the bytes, and at each vertex no choice of as many bytes is better.
  @Test func noChoiceOfAsManyBytesIsBetter() throws {
    var generator = SeededGenerator(5)
    for _ in 0..<20 {
      let layers: [[(Double, Double)]] = (0..<4).map { _ in
        (0..<5).map { _ in
          (
            Double(Int.random(in: 1...40, using: &generator)),
            Double(Int.random(in: 1...1000, using: &generator))
          )
        }
      }
      let sensitivities = (0..<4).map { _ in Double.random(in: 0.1...10, using: &generator) }
      let curve = Self.curve(layers, sensitivities)
      // Every choice, as its bytes and its error.
      var choices: [(bytes: Double, error: Double)] = [(0, 0)]
      for (options, sensitivity) in zip(layers, sensitivities) {
        choices = choices.flatMap { choice in
          options.map { (choice.bytes + $0.0, choice.error + sensitivity * $0.1) }
        }
      }
      for count in 0...curve.count {
        let vertex = curve.allocation(steps: count)
        let least = try #require(
          choices.filter { $0.bytes <= vertex.bytes }.map(\.error).min())
        #expect(vertex.error <= least * (1 + 1e-9))
      }
      for limit in stride(from: curve.smallest.bytes, through: curve.largest.bytes, by: 3) {
        let found = try #require(curve.allocation(within: limit))
        #expect(found.bytes <= limit)
        #expect(found.error <= curve.smallest.error)
        let prefix = try #require(curve.largest { $0.bytes <= limit })
        #expect(found.error <= prefix.error)
      }
    }
  }
}

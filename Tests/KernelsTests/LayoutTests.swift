import Kernels
import Support
import Synchronization
import Tensors
import TestSupport
import Testing

/// Changes of layout, and the distribution of work to threads.
struct LayoutTests {
  /// Numbers that are their own indices.
  private func counting(_ shape: Shape) -> Tensor {
    Tensor(shape: shape, values: (0..<shape.count).map(Float.init))
  }

  @Test func twiceTheSize() {
    let found = upsampleNearest2x(Tensor(shape: [1, 2, 1, 2], values: [1, 2, 3, 4]))
    #expect(found.shape == [1, 2, 2, 4])
    #expect(found.values == [1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4])
  }

  /// Sizes that occur if the size of an image is not a multiple of 64.
  @Test func anySize() {
    for height in 1...7 {
      for width in 1...5 {
        for (newHeight, newWidth) in [
          (1, 1), (height, width), (2 * height - 1, 2 * width), (9, 11),
        ] {
          let x = counting([2, 3, height, width])
          let found = upsampleNearest(x, height: newHeight, width: newWidth)
          let expected = (0..<6 * newHeight * newWidth).map { index -> Float in
            let (plane, pixel) = (index / newHeight / newWidth, index % (newHeight * newWidth))
            let row = pixel / newWidth * height / newHeight
            let column = pixel % newWidth * width / newWidth
            return Float((plane * height + row) * width + column)
          }
          #expect(found.shape == [2, 3, newHeight, newWidth])
          #expect(found.values == expected, "\(height) x \(width) to \(newHeight) x \(newWidth)")
        }
      }
    }
  }

  @Test func channelsOfBoth() {
    let a = Tensor(shape: [2, 1, 1, 2], values: [1, 2, 3, 4])
    let b = Tensor(shape: [2, 2, 1, 2], values: [5, 6, 7, 8, 9, 10, 11, 12])
    let found = concatenateChannels(a, b)
    #expect(found.shape == [2, 3, 1, 2])
    #expect(found.values == [1, 2, 5, 6, 7, 8, 3, 4, 9, 10, 11, 12])
  }

  @Test func rowsAndPlanes() {
    let shapes = [
      (1, 1, 1), (2, 1, 3), (3, 5, 7), (8, 3, 3), (9, 4, 4), (16, 16, 1), (17, 31, 1), (33, 9, 11),
      (70, 24, 24),
    ]
    for (channels, height, width) in shapes {
      let area = height * width
      let x = counting([2, channels, area])
      let expected = (0..<x.shape.count).map { index -> Float in
        let (image, rest) = (index / (area * channels), index % (area * channels))
        return Float((image * channels + rest % channels) * area + rest / channels)
      }
      onEveryInstructionSet { level in
        let found = transposed(x)
        #expect(found.shape == [2, area, channels])
        #expect(found.values == expected, "level \(level), \(channels) x \(area)")
        #expect(transposed(found) == x)
        let matrix = transposed(x.reshaped([2 * channels, area]))
        #expect(matrix.shape == [area, 2 * channels])
        #expect(
          matrix.reshaped([1, area, 2 * channels])
            == transposed(x.reshaped([1, 2 * channels, area])))
      }
    }
  }

  @Test func everyUnitRunsOnce() {
    for count in [0, 1, 2, 3, 100, 1000] {
      let runs = onEveryThreadCount {
        let seen = Mutex([Int](repeating: 0, count: count))
        parallel(count) { unit in seen.withLock { $0[unit] += 1 } }
        return seen.withLock { $0 }
      }
      #expect(runs == [[Int]](repeating: [Int](repeating: 1, count: count), count: 3))
    }
  }

  @Test func callsMayBeNested() {
    let sum = Mutex(0)
    parallel(4) { outer in parallel(5) { inner in sum.withLock { $0 += outer * inner } } }
    #expect(sum.withLock { $0 } == 60)
  }

  @Test func zeroThreadsTrap() async {
    await #expect(processExitsWith: .failure) { Threads.withCount(0) {} }
  }
}

internal import Kernels
internal import Support
internal import Tensors

/// Times the operations of a U-Net step in the shapes of SD 1 at 512x512.
struct KernelBench {
  /// One operation in one arithmetic.
  struct Row: Sendable {
    let name: String
    let compute: String
    let seconds: Double
    /// Multiplications per second, counted as in the direct algorithm.
    let rate: Double
    /// `rate` divided by the processor's peak rate.
    let shareOfPeak: Double
  }

  private struct Shape {
    let channels: Int
    let side: Int
    let heads: Int
  }

  private static let shapes = [
    Shape(channels: 320, side: 64, heads: 8), Shape(channels: 640, side: 32, heads: 8),
    Shape(channels: 1280, side: 16, heads: 8), Shape(channels: 1280, side: 8, heads: 8),
  ]

  /// Measures every operation. Each row holds the least time of five runs.
  static func run(progress: (_ done: Int, _ total: Int) -> Void) throws -> [Row] {
    let threads = Double(Threads.count)
    let peaks = (f32: threads * peakProducts(int8: false), int8: threads * peakProducts(int8: true))
    var rows: [Row] = []
    for (index, shape) in shapes.enumerated() {
      try Cancellation.check()
      progress(index, shapes.count)
      let (channels, side) = (shape.channels, shape.side)
      let pixels = side * side
      let x = numbers([1, channels, side, side])
      let window = StoredTensor(numbers([channels, channels, 3, 3]))
      let square = StoredTensor(numbers([channels, channels]))
      let gate = StoredTensor(numbers([8 * channels, channels]))
      let tokens = x.reshaped([1, channels, pixels])
      let (codes, squareCodes, gateCodes) = (
        Int8Weight(window), Int8Weight(square), Int8Weight(gate, gated: true)
      )

      func add(
        _ name: String, _ compute: Arithmetic, _ products: Int, peak: Double? = nil,
        _ body: () -> Void
      ) throws {
        body()
        let seconds =
          try (0..<5).map { _ in
            try Cancellation.check()
            let start = ContinuousClock.now
            body()
            return (ContinuousClock.now - start).seconds
          }.min() ?? 0
        let rate = Double(products) / seconds
        rows.append(
          Row(
            name: name, compute: compute.rawValue, seconds: seconds, rate: rate,
            shareOfPeak: rate / (peak ?? (compute == .int8 ? peaks.int8 : peaks.f32))))
      }

      let conv = "convolution 3x3, \(channels) channels, \(side)x\(side)"
      let products = 9 * channels * channels * pixels
      try add(conv, .f32, products) { _ = convolve(x, weight: window, bias: nil, winograd: true) }
      try add(conv, .f32Direct, products) { _ = convolve(x, weight: window, bias: nil) }
      try add(conv, .int8, products) { _ = convolve(x, weight: codes, bias: nil) }
      let linear = "projection, \(channels) to \(channels), \(pixels) tokens"
      try add(linear, .f32, channels * channels * pixels) {
        _ = project(tokens, weight: square, bias: nil)
      }
      try add(linear, .int8, channels * channels * pixels) {
        _ = project(tokens, weight: squareCodes, bias: nil)
      }
      let gated = "gated projection, \(channels) to 2 x \(4 * channels), \(pixels) tokens"
      try add(gated, .f32, 8 * channels * channels * pixels) {
        _ = project(tokens, weight: gate, bias: nil, gated: true)
      }
      try add(gated, .int8, 8 * channels * channels * pixels) {
        _ = project(tokens, weight: gateCodes, bias: nil)
      }
      let attending =
        "attention, \(shape.heads) heads of \(channels / shape.heads), \(pixels) tokens"
      for (compute, halves) in [(Arithmetic.f32, false), (.int8, true)] {
        // With int8 weights, attention computes in bfloat16, at twice the rate of float32, if the
        // processor has bfloat16 products, and in float32 otherwise.
        let peak = halves && hasBFloat16Products ? 2 * peaks.f32 : peaks.f32
        try add(attending, compute, 2 * channels * pixels * pixels, peak: peak) {
          _ = attention(
            query: tokens, key: tokens, value: tokens, heads: shape.heads, bfloat16: halves)
        }
      }
    }
    progress(shapes.count, shapes.count)
    return rows
  }

  /// Pseudorandom numbers, because zeros may be faster to multiply.
  private static func numbers(_ shape: Tensors.Shape) -> Tensor {
    var state: UInt32 = 1
    return Tensor(
      shape: shape,
      values: (0..<shape.count).map { _ in
        state = state &* 1_664_525 &+ 1_013_904_223
        return Float(Int32(bitPattern: state)) * 0x1p-31
      })
  }
}

internal import Execution
package import Kernels
package import Models
private import Synchronization
package import Tensors

/// The second moments of one layer's inputs.
package struct LayerMoments: Sendable {
  /// Disjoint sets of the inputs of a row, each with its moments. Moments across sets are not known.
  package internal(set) var blocks: [(inputs: [Int], moments: InputMoments)]
  /// The number of rows of inputs that were added, without the guided ones.
  package internal(set) var rows = 0

  /// - Parameter memory: bytes that the moments may take.
  package init(of module: ModuleSpec, memory: Int) {
    blocks = Self.partition(module.weight.shape, memory: memory).map {
      ($0, InputMoments(count: $0.count))
    }
  }

  /// Bytes that the moments of a layer take.
  package static func byteCount(of module: ModuleSpec, memory: Int) -> Int {
    partition(module.weight.shape, memory: memory).reduce(0) {
      $0 + InputMoments.byteCount(of: $1.count)
    }
  }

  /// The largest sets of inputs whose moments fit: all of them, those of a row of the kernel, those
  /// of a tap with all channels, or a tap with some channels, at least 64.
  ///
  /// - Parameter shape: the shape of the weight, [O, C] or [O, C, kernel, kernel].
  static func partition(_ shape: Shape, memory: Int) -> [[Int]] {
    let channels = shape[1]
    let kernel = shape.rank == 4 ? shape[2] : 1
    let taps = kernel * kernel
    func inputs(_ channels: Range<Int>, _ chosen: Range<Int>) -> [Int] {
      channels.flatMap { channel in chosen.map { channel * taps + $0 } }
    }
    func fits(_ blocks: [[Int]]) -> Bool {
      blocks.reduce(0) { $0 + InputMoments.byteCount(of: $1.count) } <= memory
    }
    let whole = [inputs(0..<channels, 0..<taps)]
    if fits(whole) { return whole }
    let rows = (0..<kernel).map { inputs(0..<channels, $0 * kernel..<($0 + 1) * kernel) }
    if fits(rows) { return rows }
    var width = channels
    while true {
      let blocks = (0..<taps).flatMap { tap in
        stride(from: 0, to: channels, by: width).map {
          inputs($0..<min(channels, $0 + width), tap..<tap + 1)
        }
      }
      if width <= 64 || fits(blocks) { return blocks }
      width = max(64, (width + 1) / 2)
    }
  }
}

/// Observes the U-Net during recorded calls and sums the second moments of the inputs of some
/// layers.
///
/// Besides the inputs of both branches it adds those of guidance, `w x_cond - (w - 1) x_uncond` at the
/// guidance scale `w`, scaled so that they weigh as much in each call: the error of a guided
/// prediction is made of both.
package final class MomentCollector: ActivationObserver {
  private struct Layer {
    let module: ModuleSpec
    let geometry: InputGeometry
    var moments: LayerMoments
  }

  private let layers: Mutex<[String: Layer]>
  private let call = Mutex<(index: Int, branches: Int, guidanceScale: Float)>((0, 0, 1))
  private let calls: Int

  /// Rows of a layer for each of its inputs, over all calls, where the calls have as many.
  private static let rowsPerInput = 4
  /// Rows of one tile of products.
  private static let rowsOfTile = 512

  /// - Parameters:
  ///   - modules: layers with different inputs (``ModuleSpec/inputName``).
  ///   - calls: the number of calls that will be observed.
  ///   - memory: bytes that the moments of one layer may take.
  package init(modules: [ModuleSpec], calls: Int, memory: Int) {
    self.calls = max(1, calls)
    layers = Mutex(
      Dictionary(
        uniqueKeysWithValues: modules.map { module in
          let window = module.window
          let geometry = InputGeometry(
            kernel: module.weight.shape.rank == 4 ? module.weight.shape[2] : 1,
            stride: window?.stride ?? 1, paddingBefore: window?.paddingBefore ?? 0,
            paddingAfter: window?.paddingAfter ?? 0)
          return (
            module.name,
            Layer(
              module: module, geometry: geometry,
              moments: LayerMoments(of: module, memory: memory))
          )
        }))
  }

  /// States the next call.
  ///
  /// - Parameters:
  ///   - index: its index among the calls, which varies the positions.
  ///   - branches: the samples of the batch: 1, or 2 with the unconditional one first.
  package func begin(call index: Int, branches: Int, guidanceScale: Float) {
    call.withLock { $0 = (index, branches, guidanceScale) }
  }

  package func willRun(module name: String, input: Tensor) {
    let (index, branches, scale) = call.withLock { $0 }
    // The layer is taken out, so that its sums are changed in place and outside the lock.
    guard var layer = layers.withLock({ $0.removeValue(forKey: name) }) else { return }
    let available = layer.geometry.positions(in: input.shape, of: branches)
    let wanted = Self.rowsPerInput * layer.module.weight.shape.rowLength
    let count = min(available, max(1, wanted / (calls * branches)))
    let phase = (Double(index) * 0.618_033_988_749_895).truncatingRemainder(dividingBy: 1)
    let positions = (0..<count).map {
      min(available - 1, Int((Double($0) + phase) * Double(available) / Double(count)))
    }
    for start in stride(from: 0, to: count, by: Self.rowsOfTile) {
      let part = Array(positions[start..<min(count, start + Self.rowsOfTile)])
      let samples = (0..<branches).map {
        inputRows(of: input, sample: $0, of: branches, at: part, geometry: layer.geometry)
      }
      for rows in samples { layer.moments.add(rows) }
      if branches == 2 { layer.moments.addGuided(samples[0], samples[1], scale: scale) }
      layer.moments.rows += branches * part.count
    }
    layers.withLock { $0[name] = layer }
  }

  /// The moments of each layer by its name.
  package func finish() -> [String: LayerMoments] {
    layers.withLock { layers in
      defer { layers = [:] }
      return layers.mapValues(\.moments)
    }
  }
}

extension LayerMoments {
  private var rowLength: Int { blocks.reduce(0) { $0 + $1.inputs.count } }

  fileprivate mutating func add(_ rows: [Float], weight: Double = 1) {
    let length = rowLength
    for index in blocks.indices {
      guard blocks.count > 1 else {
        blocks[index].moments.add(rows, weight: weight)
        return
      }
      let inputs = blocks[index].inputs
      var part: [Float] = []
      part.reserveCapacity(rows.count / length * inputs.count)
      for start in stride(from: 0, to: rows.count, by: length) {
        for input in inputs { part.append(rows[start + input]) }
      }
      blocks[index].moments.add(part, weight: weight)
    }
  }

  /// Adds the inputs of guidance with the same sum of squares as those of both branches.
  fileprivate mutating func addGuided(
    _ unconditional: [Float], _ conditional: [Float], scale: Float
  ) {
    let guided = zip(unconditional, conditional).map { scale * $1 - (scale - 1) * $0 }
    let squares = dot(guided, guided)
    let branches = dot(unconditional, unconditional) + dot(conditional, conditional)
    guard squares > 0, squares.isFinite else { return }
    add(guided, weight: branches / squares)
  }
}

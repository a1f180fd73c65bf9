private import Execution
private import Kernels
private import Models
package import Tensors

/// A linear map from latents to colors, for small pictures of unfinished latents. Decoding them with the
/// VAE takes as long as several steps.
///
/// The map is fitted by least squares to pairs of latents and images of the model's own VAE. It
/// therefore exists for every VAE, and more pairs make it better.
package struct LatentPreview: Sendable {
  private let channels: Int
  /// Sums of products of the inputs, [channels + 1, channels + 1] by rows. The last input is 1.
  private var inputs: [Double]
  /// Sums of products of the inputs with red, green and blue, [channels + 1, 3] by rows.
  private var outputs: [Double]
  /// [channels + 1, 3] by rows, for levels from 0 to 255.
  private(set) var coefficients: [Double]

  /// A map that gives black, until pairs are added.
  ///
  /// - Parameter channels: the channels of the latents.
  package init(channels: Int) {
    self.channels = channels
    let count = channels + 1
    inputs = [Double](repeating: 0, count: count * count)
    outputs = [Double](repeating: 0, count: count * 3)
    coefficients = outputs
  }

  /// Adds a pair and fits the map again.
  ///
  /// - Parameters:
  ///   - latents: [1, channels, h, w], as the sampler has them.
  ///   - image: what the VAE decodes them to. Its sides are multiples of `h` and `w`.
  ///   - weight: how much each place counts.
  package mutating func add(_ latents: Tensor, decodedTo image: Image, weight: Double = 1) {
    let (rows, columns) = (latents.shape[2], latents.shape[3])
    precondition(
      latents.shape[0] == 1 && latents.shape[1] == channels && image.height % rows == 0
        && image.width % columns == 0,
      "latents \(latents.shape) beside an image of \(image.width)x\(image.height)")
    let count = channels + 1
    for row in 0..<rows {
      for column in 0..<columns {
        let input = self.input(latents, entry: 0, place: row * columns + column)
        guard input.allSatisfy(\.isFinite) else { continue }
        let color = image.meanColor(row, column, of: rows, columns)
        for i in 0..<count {
          for j in 0..<count { inputs[i * count + j] += weight * input[i] * input[j] }
          for c in 0..<3 { outputs[i * 3 + c] += weight * input[i] * color[c] }
        }
      }
    }
    // A small term on the diagonal keeps the equations solvable for latents of one color.
    var matrix = inputs
    for i in 0..<count { matrix[i * count + i] += 1e-3 }
    coefficients = solution(of: matrix, outputs, count: count)
  }

  /// A picture of each entry, with a pixel for each place.
  ///
  /// - Parameter latents: [count, channels, h, w].
  package func images(of latents: Tensor) -> [Image] {
    precondition(latents.shape[1] == channels, "latents of \(latents.shape)")
    let (height, width) = (latents.shape[2], latents.shape[3])
    return (0..<latents.shape[0]).map { entry in
      var pixels: [UInt8] = []
      pixels.reserveCapacity(height * width * 3)
      for place in 0..<height * width {
        let input = self.input(latents, entry: entry, place: place)
        for c in 0..<3 {
          var level = 0.0
          for i in input.indices { level += input[i] * coefficients[i * 3 + c] }
          // NaN becomes 0.
          pixels.append(level > 0 ? UInt8(min(level, 255).rounded()) : 0)
        }
      }
      return Image(width: width, height: height, pixels: pixels)
    }
  }

  /// The channels at a place, then 1.
  private func input(_ latents: Tensor, entry: Int, place: Int) -> [Double] {
    let area = latents.shape[2] * latents.shape[3]
    return (0..<channels).map { channel in
      Double(latents.values[(entry * channels + channel) * area + place])
    } + [1]
  }
}

/// Solves `matrix * x = right` by elimination with pivots.
///
/// - Parameters:
///   - matrix: [count, count] by rows, not singular.
///   - right: [count, 3] by rows.
/// - Returns: x, [count, 3] by rows.
private func solution(of matrix: [Double], _ right: [Double], count: Int) -> [Double] {
  var (a, b) = (matrix, right)
  for column in 0..<count {
    let pivot =
      (column..<count).max { abs(a[$0 * count + column]) < abs(a[$1 * count + column]) } ?? column
    for k in 0..<count { a.swapAt(column * count + k, pivot * count + k) }
    for k in 0..<3 { b.swapAt(column * 3 + k, pivot * 3 + k) }
    for row in 0..<count where row != column {
      let factor = a[row * count + column] / a[column * count + column]
      for k in column..<count { a[row * count + k] -= factor * a[column * count + k] }
      for k in 0..<3 { b[row * 3 + k] -= factor * b[column * 3 + k] }
    }
  }
  for row in 0..<count {
    for k in 0..<3 { b[row * 3 + k] /= a[row * count + row] }
  }
  return b
}

extension Image {
  /// The mean levels of a cell of a grid of `rows` and `columns` over the image.
  fileprivate func meanColor(_ row: Int, _ column: Int, of rows: Int, _ columns: Int) -> [Double] {
    let (cellHeight, cellWidth) = (height / rows, width / columns)
    var sums = [0, 0, 0]
    for y in row * cellHeight..<(row + 1) * cellHeight {
      for x in column * cellWidth..<(column + 1) * cellWidth {
        for c in 0..<3 { sums[c] += Int(pixels[(y * width + x) * 3 + c]) }
      }
    }
    return sums.map { Double($0) / Double(cellHeight * cellWidth) }
  }
}

extension Sampler {
  /// A preview that is fitted to what the VAE makes of squares of random colors, in an image of 16 x 16
  /// latent pixels.
  ///
  /// - Throws: `CancellationError`, or an error of the encoder.
  package func latentPreview() throws -> LatentPreview {
    let (squares, square) = (4, 4 * model.vae.downsamplingFactor)
    var generator = TorchGenerator(seed: 0)
    let colors = generator.randn(count: squares * squares * 3).map { level in
      UInt8(max(0, min(255, 127.5 + 80 * level)))
    }
    var image = Image(
      width: squares * square, height: squares * square, red: 0, green: 0, blue: 0)
    for y in 0..<image.height {
      for x in 0..<image.width {
        for channel in 0..<3 {
          image.pixels[(y * image.width + x) * 3 + channel] =
            colors[(y / square * squares + x / square) * 3 + channel]
        }
      }
    }
    let encoder = try encoder()
    let encoded = try interruptible { try encoder.encode(image.normalized) }
    var preview = LatentPreview(channels: model.vae.latentChannels)
    // Images that are decoded later tell more about the next one than squares do.
    preview.add(
      scaled(Float(model.vae.scalingFactor), encoded.mean), decodedTo: image, weight: 0.02)
    return preview
  }
}

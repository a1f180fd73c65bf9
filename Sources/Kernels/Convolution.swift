private import CKernels
package import Tensors

/// Rows and columns of zeros around a picture.
package struct Padding: Sendable, Hashable {
  package let top: Int
  package let left: Int
  package let bottom: Int
  package let right: Int

  package init(top: Int, left: Int, bottom: Int, right: Int) {
    (self.top, self.left, self.bottom, self.right) = (top, left, bottom, right)
  }

  /// The same on all four sides.
  package init(_ all: Int) { self.init(top: all, left: all, bottom: all, right: all) }
}

/// Two-dimensional convolution (cross-correlation, as torch.nn.functional.conv2d) by matrix
/// products.
///
/// Tiles of the product are computed apart, each over a part of the window's weights at a time,
/// for which the pixels that the weights meet are gathered ("im2col"). So memory beside the result
/// is bounded by about 5 MB a thread, whatever the size of the picture, and weights are widened a
/// tile at a time. A window of one pixel with stride 1 reads the picture in place.
///
/// - Parameters:
///   - x: [batch, in, height, width].
///   - weight: [out, in, kernel height, kernel width], in any encoding that can be widened.
///   - bias: one number for each output channel.
/// - Returns: [batch, out, (height + padding - kernel height) / stride + 1, likewise].
package func convolve(
  _ x: Tensor, weight: StoredTensor, bias: [Float]?, stride: Int = 1, padding: Padding = Padding(1)
) -> Tensor {
  precondition(
    x.shape.rank == 4 && weight.shape.rank == 4 && x.shape[1] == weight.shape[1]
      && (bias == nil || bias?.count == weight.shape[0]) && stride >= 1,
    "convolution of \(x.shape) with \(weight.shape), stride \(stride)")
  let window = decant_window(of: x.shape, weight.shape, stride: stride, padding: padding)
  let (batch, channels, outputs) = (x.shape[0], x.shape[1], weight.shape[0])
  let area = window.out_height * window.out_width
  let shape: Shape = [batch, outputs, window.out_height, window.out_width]
  let isPointwise = weight.shape.rowLength == channels && stride == 1 && padding == Padding(0)

  // Columns are the output pixels of all pictures one after another, so that small pictures fill
  // a tile together.
  let tiles = Tiles(rows: outputs, columns: batch * area)
  let sums = sumParts(weight.shape.rowLength)
  let longest = sums.first?.count ?? 0
  let weightsSize = tiles.height * longest
  let productSize = tiles.height * tiles.width
  let columnsSize = isPointwise && batch == 1 ? 0 : longest * tiles.width
  return x.values.reading { x in
    Tensor(shape: shape) { output in
      parallel(tiles.count, scratch: weightsSize + productSize + columnsSize) { unit, scratch in
        let tile = tiles[unit]
        let product = scratch + weightsSize
        let columns = product + productSize
        for (index, part) in sums.enumerated() {
          let right: Matrix
          if isPointwise && batch == 1 {
            let first = x + part.lowerBound * area + tile.columns.lowerBound
            right = Matrix(base: first, stride: area)
          } else {
            withUnsafePointer(to: window) {
              decant_window_columns(
                x.base, $0, part.lowerBound, part.count, tile.columns.lowerBound,
                tile.columns.count, columns)
            }
            right = Matrix(base: columns, stride: tile.columns.count)
          }
          weight.withMatrix(rows: tile.rows, columns: part, scratch: scratch) { weights in
            multiply(
              weights, right, into: product, stride: tile.columns.count, m: tile.rows.count,
              n: tile.columns.count, k: part.count, keep: index == 0 ? 0 : 1)
          }
        }
        if sums.isEmpty { product.update(repeating: 0, count: productSize) }
        store(product, tile.rows, tile.columns, bias: bias, area: area, of: outputs, into: output)
      }
    }
  }
}

/// Adds the bias to a tile of the product, [rows, columns], and puts its numbers where they belong
/// in the pictures.
private func store(
  _ product: UnsafeMutablePointer<Float>, _ rows: Range<Int>, _ columns: Range<Int>,
  bias: [Float]?, area: Int, of outputs: Int, into output: Target
) {
  for (index, row) in rows.enumerated() {
    var column = columns.lowerBound
    while column < columns.upperBound {
      let picture = column / area
      let end = min(columns.upperBound, (picture + 1) * area)
      let from = product + index * columns.count + column - columns.lowerBound
      let to = output + (picture * outputs + row) * area + column - picture * area
      decant_scale_and_shift(from, 0, 1, bias?[row] ?? 0, to, end - column)
      column = end
    }
  }
}

extension decant_window {
  fileprivate init(of x: Shape, _ weight: Shape, stride: Int, padding: Padding) {
    let height = x[2] + padding.top + padding.bottom
    let width = x[3] + padding.left + padding.right
    precondition(
      height >= weight[2] && width >= weight[3], "a window of \(weight) over \(height) x \(width)")
    self.init(
      channels: x[1], height: x[2], width: x[3], kernel_height: weight[2], kernel_width: weight[3],
      stride: stride, top: padding.top, left: padding.left,
      out_height: (height - weight[2]) / stride + 1, out_width: (width - weight[3]) / stride + 1)
  }
}

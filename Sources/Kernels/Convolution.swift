package import Tensors

/// Rows and columns of zeros around a picture.
package struct Padding: Sendable, Hashable {
  package let top, left, bottom, right: Int

  package init(top: Int, left: Int, bottom: Int, right: Int) {
    (self.top, self.left, self.bottom, self.right) = (top, left, bottom, right)
  }

  /// The same on all four sides.
  package init(_ all: Int) { self.init(top: all, left: all, bottom: all, right: all) }
}

/// Two-dimensional convolution.
package func convolve(
  _ x: Tensor, weight: StoredTensor, bias: [Float]?, stride: Int = 1, padding: Padding = Padding(1)
) -> Tensor {
  let s = x.shape, k = weight.shape
  let (height, width) = (s[2], s[3])
  let outHeight = (height + padding.top + padding.bottom - k[2]) / stride + 1
  let outWidth = (width + padding.left + padding.right - k[3]) / stride + 1
  let area = outHeight * outWidth
  let w = weight.floats()
  return Tensor(shape: [s[0], k[0], outHeight, outWidth]) { output in
    for image in 0..<s[0] {
      var columns = [Float](repeating: 0, count: weight.shape.rowLength * area)
      var row = 0
      for c in 0..<s[1] {
        for i in 0..<k[2] {
          for j in 0..<k[3] {
            for y in 0..<outHeight {
              let sy = y * stride + i - padding.top
              if sy < 0 || sy >= height { continue }
              for xx in 0..<outWidth {
                let sx = xx * stride + j - padding.left
                if sx < 0 || sx >= width { continue }
                columns[row * area + y * outWidth + xx] =
                  x.values[((image * s[1] + c) * height + sy) * width + sx]
              }
            }
            row += 1
          }
        }
      }
      for o in 0..<k[0] {
        for p in 0..<area { (output + (image * k[0] + o) * area)[p] = bias?[o] ?? 0 }
      }
      columns.reading { columns in
        w.reading { w in
          multiply(
            Matrix(base: w.base, stride: row), Matrix(base: columns.base, stride: area),
            into: output + image * k[0] * area, stride: area, m: k[0], n: area, k: row, keep: 1)
        }
      }
    }
  }
}

package import Tensors

/// Each pixel of `x` [B, C, H, W] as a square of four.
package func upsampleNearest2x(_ x: Tensor) -> Tensor {
  upsampleNearest(x, height: 2 * x.shape[2], width: 2 * x.shape[3])
}

/// `x` [B, C, H, W] at another size, each pixel from `floor(y * H / height)`, as torch's nearest.
package func upsampleNearest(_ x: Tensor, height: Int, width: Int) -> Tensor {
  let (planes, oldHeight, oldWidth) = (x.shape[0] * x.shape[1], x.shape[2], x.shape[3])
  return x.values.reading { source in
    Tensor(shape: [x.shape[0], x.shape[1], height, width]) { output in
      parallel(planes) { plane in
        for y in 0..<height {
          let from = source + (plane * oldHeight + y * oldHeight / height) * oldWidth
          let to = output + (plane * height + y) * width
          for column in 0..<width { to[column] = from[column * oldWidth / width] }
        }
      }
    }
  }
}

/// The channels of `a` [B, C, H, W], then those of `b` [B, D, H, W].
package func concatenateChannels(_ a: Tensor, _ b: Tensor) -> Tensor {
  precondition(
    a.shape.rank == 4 && b.shape.rank == 4 && a.shape[0] == b.shape[0]
      && a.shape[2] == b.shape[2] && a.shape[3] == b.shape[3],
    "channels of \(a.shape) and \(b.shape)")
  let (batch, height, width) = (a.shape[0], a.shape[2], a.shape[3])
  let (first, second) = (a.shape[1] * height * width, b.shape[1] * height * width)
  return a.values.reading { a_ in
    b.values.reading { b_ in
      Tensor(shape: [batch, a.shape[1] + b.shape[1], height, width]) { output in
        for image in 0..<batch {
          let to = output + image * (first + second)
          to.update(from: a_ + image * first, count: first)
          (to + first).update(from: b_ + image * second, count: second)
        }
      }
    }
  }
}

/// `x` [B, C, H, W] as [B, H*W, C]: a row of features for each pixel.
package func tokens(from x: Tensor) -> Tensor {
  let (batch, channels, area) = (x.shape[0], x.shape[1], x.shape[2] * x.shape[3])
  return transposed(x, batch: batch, rows: channels, columns: area, shape: [batch, area, channels])
}

/// `x` [B, height*width, C] as [B, C, height, width]; the reverse of ``tokens(from:)``.
package func image(from x: Tensor, height: Int, width: Int) -> Tensor {
  precondition(
    x.shape.rank == 3 && x.shape[1] == height * width, "\(x.shape) as \(height) x \(width)")
  return transposed(
    x, batch: x.shape[0], rows: x.shape[1], columns: x.shape[2],
    shape: [x.shape[0], x.shape[2], height, width])
}

private func transposed(_ x: Tensor, batch: Int, rows: Int, columns: Int, shape: Shape) -> Tensor {
  x.values.reading { source in
    Tensor(shape: shape) { output in
      parallel(batch) { b in
        let from = source + b * rows * columns
        let to = output + b * rows * columns
        for row in 0..<rows {
          for column in 0..<columns { to[column * rows + row] = from[row * columns + column] }
        }
      }
    }
  }
}

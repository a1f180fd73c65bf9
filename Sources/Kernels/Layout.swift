private import CKernels
internal import Support
package import Tensors

/// Doubles the height and width of `x` [batch, channels, height, width] by repeating pixels.
package func upsampleNearest2x(_ x: Tensor) -> Tensor {
  precondition(x.shape.rank == 4, "images of \(x.shape)")
  return upsampleNearest(x, height: 2 * x.shape[2], width: 2 * x.shape[3])
}

/// Resizes `x` [batch, channels, H, W] by copying the nearest pixels, as
/// `torch.nn.functional.interpolate` with `mode="nearest"` and a size.
package func upsampleNearest(_ x: Tensor, height: Int, width: Int) -> Tensor {
  precondition(
    x.shape.rank == 4 && x.shape[2] > 0 && x.shape[3] > 0, "\(x.shape) as \(height) x \(width)")
  let (planes, oldHeight, oldWidth) = (x.shape[0] * x.shape[1], x.shape[2], x.shape[3])
  let rows = nearest(height, of: oldHeight)
  let columns = nearest(width, of: oldWidth)
  return Profile.timing(.layout) {
    x.values.reading { source in
      Tensor(shape: [x.shape[0], x.shape[1], height, width]) { output in
        interruptibleParallel(planes) { plane in
          for (y, row) in rows.enumerated() {
            let to = output + (plane * height + y) * width
            if y > 0 && rows[y - 1] == row {
              to.update(from: to - width, count: width)
            } else {
              let from = source + (plane * oldHeight + row) * oldWidth
              for (index, column) in columns.enumerated() { to[index] = from[column] }
            }
          }
        }
      }
    }
  }
}

/// For each of `count` positions, the index of the source position among `old`, with PyTorch's
/// rounding: the ratio and the product are float32.
private func nearest(_ count: Int, of old: Int) -> [Int] {
  let scale = Float(old) / Float(count)
  return (0..<count).map { min(old - 1, Int((Float($0) * scale).rounded(.down))) }
}

/// Concatenates the channels of `a` [B, C, H, W] and `b` [B, D, H, W].
package func concatenateChannels(_ a: Tensor, _ b: Tensor) -> Tensor {
  precondition(
    a.shape.rank == 4 && b.shape.rank == 4 && a.shape[0] == b.shape[0]
      && a.shape[2] == b.shape[2] && a.shape[3] == b.shape[3],
    "channels of \(a.shape) and \(b.shape)")
  let (batch, height, width) = (a.shape[0], a.shape[2], a.shape[3])
  let (firstSize, secondSize) = (a.shape[1] * height * width, b.shape[1] * height * width)
  return Profile.timing(.layout) {
    a.values.reading { first in
      b.values.reading { second in
        Tensor(shape: [batch, a.shape[1] + b.shape[1], height, width]) { output in
          for image in 0..<batch {
            let to = output + image * (firstSize + secondSize)
            to.update(from: first + image * firstSize, count: firstSize)
            (to + firstSize).update(from: second + image * secondSize, count: secondSize)
          }
        }
      }
    }
  }
}

/// Transposes `x` [R, C] to [C, R], or each matrix of `x` [B, R, C]: rows of features for each
/// token become planes of tokens for each feature, and vice versa.
package func transposed(_ x: Tensor) -> Tensor {
  precondition((2...3).contains(x.shape.rank), "rows of \(x.shape)")
  let (rows, columns) = (x.shape[x.shape.rank - 2], x.shape[x.shape.rank - 1])
  let batch = x.shape.rank == 3 ? x.shape[0] : 1
  return Profile.timing(.layout) {
    x.values.reading { source in
      Tensor(shape: Shape(x.shape.extents.dropLast(2) + [columns, rows])) { output in
        let tiles = Tiles(rows: rows, columns: columns)
        interruptibleParallel(batch * tiles.count) { unit in
          let start = unit / max(1, tiles.count) * rows * columns
          let tile = tiles[unit % max(1, tiles.count)]
          decant_transpose(
            source + start + tile.rows.lowerBound * columns + tile.columns.lowerBound, columns,
            tile.rows.count, tile.columns.count,
            output + start + tile.columns.lowerBound * rows + tile.rows.lowerBound, rows)
        }
      }
    }
  }
}

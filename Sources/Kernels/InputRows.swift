internal import Support
package import Tensors

/// The inputs that a layer multiplies with its weights, at some positions of one sample.
///
/// A row has one number for each weight of an output channel, in the order of the weights:
/// channel, then row and column of the kernel. Inputs outside the image are 0.
///
/// - Parameters:
///   - input: [B, C, H, W] for a convolution, [rows, C] for a linear layer, whose rows belong to the
///     samples in turn.
///   - sample: the index of the sample.
///   - samples: the number of samples in the input.
///   - positions: indices of output pixels, row by row, or of the sample's rows.
/// - Returns: [positions, row length], by rows.
package func inputRows(
  of input: Tensor, sample: Int, of samples: Int, at positions: [Int], geometry: InputGeometry
) -> [Float] {
  guard input.shape.rank == 4 else {
    let width = input.shape[1]
    let first = sample * (input.shape[0] / samples)
    return positions.flatMap { position in
      input.values[(first + position) * width..<(first + position + 1) * width]
    }
  }
  let (channels, height, width) = (input.shape[1], input.shape[2], input.shape[3])
  let outputWidth = geometry.outputSize(height: height, width: width).width
  let kernel = geometry.kernel
  let length = channels * kernel * kernel
  return [Float](unsafeUninitializedCapacity: positions.count * length) { rows, count in
    count = positions.count * length
    let rows = DisjointSlices(rows)
    input.values.reading { values in
      let image = Source(base: values + sample * channels * height * width)
      parallel(positions.count) { index in
        let top = positions[index] / outputWidth * geometry.stride - geometry.paddingBefore
        let left = positions[index] % outputWidth * geometry.stride - geometry.paddingBefore
        var target = rows.base + index * length
        for channel in 0..<channels {
          let plane = image + channel * height * width
          for y in top..<top + kernel {
            for x in left..<left + kernel {
              let isInside = y >= 0 && y < height && x >= 0 && x < width
              target.pointee = isInside ? plane[y * width + x] : 0
              target += 1
            }
          }
        }
      }
    }
  }
}

/// How a layer steps over its input.
package struct InputGeometry: Sendable, Equatable {
  /// The side of a convolution's kernel; 1 for a linear layer.
  package let kernel: Int
  package let stride: Int
  /// Zeros above and left of the image.
  package let paddingBefore: Int
  /// Zeros below and right of the image.
  package let paddingAfter: Int

  package init(kernel: Int = 1, stride: Int = 1, paddingBefore: Int = 0, paddingAfter: Int = 0) {
    self.kernel = kernel
    self.stride = stride
    self.paddingBefore = paddingBefore
    self.paddingAfter = paddingAfter
  }

  func outputSize(height: Int, width: Int) -> (height: Int, width: Int) {
    func side(_ length: Int) -> Int {
      max(0, (length + paddingBefore + paddingAfter - kernel) / stride + 1)
    }
    return (side(height), side(width))
  }

  /// The number of positions of one sample in an input of `samples`.
  package func positions(in shape: Shape, of samples: Int) -> Int {
    guard shape.rank == 4 else { return shape[0] / samples }
    let size = outputSize(height: shape[2], width: shape[3])
    return size.height * size.width
  }
}

internal import CKernels
package import Tensors

/// Rows and columns of zeros around an image.
package struct Padding: Sendable, Hashable {
  package let top: Int
  package let left: Int
  package let bottom: Int
  package let right: Int

  package init(top: Int, left: Int, bottom: Int, right: Int) {
    (self.top, self.left, self.bottom, self.right) = (top, left, bottom, right)
  }

  /// The same padding on all four sides.
  package init(_ all: Int) { self.init(top: all, left: all, bottom: all, right: all) }
}

/// The number format and the algorithms of layers.
package enum Arithmetic: String, Sendable, CaseIterable {
  /// Float32. 3 x 3 convolutions use the Winograd algorithm where it is faster.
  case f32
  /// Float32 without the Winograd algorithm: the reference for the others.
  case f32Direct = "f32-direct"
  /// Products of int8 weights and int8 activations (W8A8), everything else in float32.
  case int8

  /// The float32 arithmetic for components that do not support int8.
  package var inFloats: Arithmetic { self == .int8 ? .f32 : self }
}

/// Two-dimensional convolution (cross-correlation, as `torch.nn.functional.conv2d`), by matrix
/// products or by the Winograd algorithm.
///
/// The direct form packs the pixels under the kernel's window in panels, or, for a small image, all
/// of them at once. The Winograd form (F(4 x 4, 3 x 3), Lavin & Gray, 2016) transforms a group of
/// tiles at a time. It needs a quarter of the multiplications and has about four times the rounding
/// error. Both need a bounded amount of memory besides the result, for any size of the image.
///
/// - Parameters:
///   - x: [batch, in, height, width].
///   - weight: [out, in, kernel height, kernel width], in any encoding that can be widened. The
///     kernel has at most 49 taps.
///   - bias: one number for each output channel.
///   - residual: a tensor of the result's shape that is added to it.
///   - winograd: whether the Winograd algorithm may be used.
/// - Returns: [batch, out, out height, out width], where
///   `out height = (height + padding - kernel height) / stride + 1`, and likewise the width.
package func convolve(
  _ x: Tensor, weight: StoredTensor, bias: [Float]?, residual: Tensor? = nil, stride: Int = 1,
  padding: Padding = Padding(1), winograd: Bool = false
) -> Tensor {
  precondition(
    x.shape.rank == 4 && weight.shape.rank == 4 && x.shape[1] == weight.shape[1]
      && (bias == nil || bias?.count == weight.shape[0]) && stride >= 1,
    "convolution of \(x.shape) with \(weight.shape), stride \(stride)")
  let window = decant_window(of: x.shape, weight.shape, stride: stride, padding: padding)
  let batch = x.shape[0]
  let shape: Shape = [batch, weight.shape[0], window.out_height, window.out_width]
  precondition(residual == nil || residual?.shape == shape, "residual for \(shape)")
  let plan =
    winograd
    ? WinogradPlan(x: x.shape, weight: weight.shape, stride: stride, padding: padding) : nil
  let products = shape.count * weight.shape.rowLength
  return Profile.timing(plan == nil ? .convolution : .winograd, products: products) {
    x.values.reading { x in
      reading(residual) { residual in
        Tensor(shape: shape) { output in
          if let plan {
            plan.run(x, weight: weight, bias: bias, residual: residual, into: output)
          } else {
            FloatOperands(
              weight: weight, bias: bias, window: window, images: x, residual: residual
            ).product(images: batch, area: shape[2] * shape[3], gated: false, into: output)
          }
        }
      }
    }
  }
}

/// A linear layer for features in planes: `W x + bias` for each position.
///
/// - Parameters:
///   - x: [batch, in, ...].
///   - weight: [out, in], or [out, in, 1, 1], in any encoding that can be widened.
///   - bias: one number for each output.
///   - residual: a tensor of the result's shape that is added to it.
///   - gated: whether the second half of the outputs gates the first half: diffusers' GEGLU
///     (Shazeer, 2020), the first half times ``gelu(_:)`` of the second.
/// - Returns: [batch, out, ...], or [batch, out / 2, ...] if gated.
package func project(
  _ x: Tensor, weight: StoredTensor, bias: [Float]?, residual: Tensor? = nil, gated: Bool = false
) -> Tensor {
  precondition(
    x.shape.rank >= 2 && x.shape[1] == weight.shape.rowLength
      && (bias == nil || bias?.count == weight.shape.rows)
      && (!gated || weight.shape.rows % 2 == 0),
    "\(weight.shape) by planes of \(x.shape)")
  let batch = x.shape[0]
  let area = x.shape.extents.dropFirst(2).reduce(1, *)
  let outputs = gated ? weight.shape.rows / 2 : weight.shape.rows
  let shape = Shape([batch, outputs] + x.shape.extents.dropFirst(2))
  precondition(
    residual == nil || !gated && residual?.shape == shape, "residual for \(shape)")
  let window = decant_window(
    of: [batch, x.shape[1], 1, area], [weight.shape.rows, x.shape[1], 1, 1], stride: 1,
    padding: Padding(0))
  return Profile.timing(.projection, products: batch * area * weight.shape.count) {
    x.values.reading { x in
      reading(residual) { residual in
        Tensor(shape: shape) { output in
          FloatOperands(
            weight: weight, bias: bias, window: window, images: x, residual: residual
          ).product(images: batch, area: area, gated: gated, into: output)
        }
      }
    }
  }
}

/// Calls `body` with the numbers of an optional tensor, without a copy.
func reading<Result>(_ tensor: Tensor?, _ body: (Source?) -> Result) -> Result {
  guard let tensor else { return body(nil) }
  return tensor.values.reading { body($0) }
}

extension decant_window {
  /// Whether the matrix of windows is the image itself: a 1 x 1 kernel with stride 1 and no
  /// padding.
  var isPointwise: Bool {
    kernel_height * kernel_width == 1 && stride == 1 && out_height == height && out_width == width
  }

  init(of x: Shape, _ weight: Shape, stride: Int, padding: Padding) {
    let height = x[2] + padding.top + padding.bottom
    let width = x[3] + padding.left + padding.right
    precondition(
      height >= weight[2] && width >= weight[3]
        && weight[2] * weight[3] <= Int(DECANT_WINDOW_TAPS),
      "a window of \(weight) over \(height) x \(width)")
    self.init(
      channels: x[1], height: x[2], width: x[3], kernel_height: weight[2], kernel_width: weight[3],
      stride: stride, top: padding.top, left: padding.left,
      out_height: (height - weight[2]) / stride + 1, out_width: (width - weight[3]) / stride + 1)
  }
}

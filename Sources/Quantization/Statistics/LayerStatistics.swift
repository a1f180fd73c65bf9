package import Kernels
package import Tensors

/// Calibration statistics of one layer's input, in the form that rounding methods read.
package struct LayerStatistics: Sendable, Equatable {
  /// The mean square of the input that each weight of a row is multiplied with.
  package let meanSquares: [Float]
  /// The factored second moments of the inputs of a row; empty where they were not measured.
  package let feedback: [FeedbackBlock]

  package init(meanSquares: [Float], feedback: [FeedbackBlock] = []) {
    self.meanSquares = meanSquares
    self.feedback = feedback
  }

  /// Repeats the mean square of each input channel for every tap of the kernel.
  ///
  /// Weights lie as [output, input, height, width], so the taps of a channel are consecutive.
  ///
  /// - Parameters:
  ///   - shape: the shape of the layer's weight.
  ///   - feedback: the factored second moments, if measured.
  /// - Returns: `nil` when the calibration saw no input of the layer but zeros.
  package init?(
    _ module: ModuleStatistics, shape: Shape, feedback: [FeedbackBlock] = []
  ) {
    guard shape.rank >= 2, let channels = module.meanSquares(),
      channels.contains(where: { $0 > 0 })
    else { return nil }
    let taps = shape.rowLength / max(1, shape[1])
    self.init(
      meanSquares: channels.flatMap { [Float](repeating: Float($0), count: taps) },
      feedback: feedback)
  }
}

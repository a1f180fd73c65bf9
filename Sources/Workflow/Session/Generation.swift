package import Sampling
package import Tensors
package import Verification

/// The images of one prompt.
package struct Generation: Sendable {
  package let images: [Image]
  /// The latents after the last step, before the VAE: [count, channels, height / 8, width / 8].
  package let latents: Tensor
  /// The settings of each image, as they are stored in its file.
  package let parameters: [GenerationParameters]

  package init(images: [Image], latents: Tensor, parameters: [GenerationParameters]) {
    self.images = images
    self.latents = latents
    self.parameters = parameters
  }
}

/// Images of two models for the same prompt and seed, and how they differ.
package struct ComparedImages: Sendable {
  package let reference: Image
  package let candidate: Image
  package let comparison: ImageComparison

  /// - Precondition: both images have the same size.
  package init(reference: Image, candidate: Image) {
    self.reference = reference
    self.candidate = candidate
    comparison = ImageComparison(reference: reference, candidate: candidate)
  }
}

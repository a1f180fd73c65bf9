internal import ModelSources
internal import Models
internal import Sampling
package import Support

/// Too little memory to run a model.
package struct MemoryError: RemediableError, Equatable {
  /// What is done, in words: `making an image of 512x512`.
  package let work: String
  /// The part of the model whose activations take the most memory, in words.
  package let component: String
  /// A lower bound of the bytes that it takes.
  package let needed: Int
  /// Bytes that the process can get.
  package let free: Int
  package let remedy: Remedy?

  package var description: String {
    "\(work) needs at least \(formatted(bytes: needed)) of memory for the activations of the "
      + "\(component); \(formatted(bytes: free)) is free"
  }
}

/// The memory of the machine that jobs run on.
package protocol MachineMemory: Sendable {
  /// The bytes that the process can get; `nil` where they are unknown.
  var freeBytes: Int? { get }
}

private struct LocalMemory: MachineMemory {
  var freeBytes: Int? { availableMemory() }
}

/// The free memory of machines.
package enum FreeMemory {
  /// The machine that the task's jobs run on.
  @TaskLocal package static var machine: any MachineMemory = LocalMemory()
}

/// What a component takes to run.
struct ComponentMemory {
  /// The component in words.
  let name: String
  /// A lower bound of the bytes of its activations.
  let activations: Int
}

/// Refuses work for which the memory does not suffice. Otherwise the process would end without a
/// message.
///
/// - Parameters:
///   - components: they run one after another.
///   - results: bytes that are held beside them.
/// - Throws: ``MemoryError``.
func requireMemory(
  for work: String, _ components: [ComponentMemory], results: Int = 0, remedy: Remedy
) throws(MemoryError) {
  guard let largest = components.max(by: { $0.activations < $1.activations }),
    var free = FreeMemory.machine.freeBytes
  else { return }
  let needed = largest.activations + results
  if needed > free {
    // The heap keeps memory of earlier images.
    trimHeap()
    free = FreeMemory.machine.freeBytes ?? free
  }
  if needed > free {
    throw MemoryError(
      work: work, component: largest.name, needed: needed, free: free, remedy: remedy)
  }
}

extension Model {
  /// Refuses a request whose images take more memory than the process can get. Weights do not count:
  /// the system reads most of them from their files again when it needs their memory.
  ///
  /// - Parameters:
  ///   - request: was checked with ``check(_:)``.
  ///   - images: the images that are held at the end; 0 for latents that are not decoded.
  /// - Throws: ``MemoryError``.
  func checkMemory(for request: SamplingRequest, images: Int) throws(MemoryError) {
    let size = size(for: request)
    let factor = vae.downsamplingFactor
    let latent = ImageSize(width: size.width / factor, height: size.height / factor)
    let area = latent.width * latent.height
    // As in the sampler: a distilled U-Net runs once for both branches of guidance.
    let branches = request.guidanceScale > 1 && unet.timeCondProjDim == nil ? 2 : 1
    let atOnce = min(request.count, max(1, Sampler.standardPixelsPerCall / max(1, area)))
    var components = [
      ComponentMemory(
        name: "U-Net",
        activations: LeastActivations.unet(unet, latent: latent, batch: branches * atOnce))
    ]
    if images > 0 {
      components.append(
        ComponentMemory(
          name: "VAE decoder", activations: LeastActivations.decoder(vae, latent: latent)))
    }
    if request.initialImage != nil {
      components.append(
        ComponentMemory(
          name: "VAE encoder", activations: LeastActivations.encoder(vae, image: size)))
    }
    // The images in 8 bits, and the latents in float32 before and after a step.
    let results =
      images * 3 * size.width * size.height + 2 * 4 * request.count * vae.latentChannels * area
    try requireMemory(
      for: request.count == 1
        ? "making an image of \(size)" : "making \(request.count) images of \(size)",
      components, results: results, remedy: .adjust(.size, .smaller))
  }
}

import Sampling
import Support
import Tensors
import TestSupport
import Testing

/// Small pictures of unfinished latents.
@Suite struct LatentPreviewTests {
  /// An image whose cells of 2 x 2 pixels have colors that are linear in latents of two channels.
  private func pair(seed: UInt64) -> (latents: Tensor, image: Image) {
    var generator = TorchGenerator(seed: seed)
    let latents = generator.randn([1, 2, 4, 4])
    var image = Image(width: 8, height: 8, red: 0, green: 0, blue: 0)
    for y in 0..<8 {
      for x in 0..<8 {
        let (a, b) = (latents.values[y / 2 * 4 + x / 2], latents.values[16 + y / 2 * 4 + x / 2])
        let levels = [128 + 20 * a, 100 + 10 * b, 90 - 8 * a + 12 * b]
        for channel in 0..<3 {
          image.pixels[(y * 8 + x) * 3 + channel] = UInt8(levels[channel].rounded())
        }
      }
    }
    return (latents, image)
  }

  @Test func aLinearDecoderIsFound() throws {
    var preview = LatentPreview(channels: 2)
    for seed in UInt64(1)...3 {
      let (latents, image) = pair(seed: seed)
      preview.add(latents, decodedTo: image)
    }
    let (latents, image) = pair(seed: 9)
    let small = try #require(preview.images(of: latents).first)
    #expect(small.width == 4 && small.height == 4)
    for y in 0..<4 {
      for x in 0..<4 {
        for channel in 0..<3 {
          let found = Int(small.pixels[(y * 4 + x) * 3 + channel])
          let expected = Int(image.pixels[(2 * y * 8 + 2 * x) * 3 + channel])
          // Levels are rounded before the map is fitted, and after it.
          #expect(abs(found - expected) <= 1, "(\(x), \(y)), channel \(channel)")
        }
      }
    }
  }

  /// Latents of one color, or that are not finite, leave a map that gives finite levels.
  @Test func poorPairsAreHarmless() throws {
    var preview = LatentPreview(channels: 2)
    let gray = Image(width: 4, height: 4, red: 50, green: 60, blue: 70)
    preview.add(Tensor(zeros: [1, 2, 2, 2]), decodedTo: gray)
    var broken = Tensor(zeros: [1, 2, 2, 2])
    broken.values = [Float](repeating: .nan, count: 8)
    preview.add(broken, decodedTo: gray)
    let images = preview.images(of: Tensor(zeros: [2, 2, 2, 2]))
    #expect(images.count == 2)
    #expect(images[1] == Image(width: 2, height: 2, red: 50, green: 60, blue: 70))
    #expect(preview.images(of: broken)[0].pixels.allSatisfy { $0 == 0 })
  }
}

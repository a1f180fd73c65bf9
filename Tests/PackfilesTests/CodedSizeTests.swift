import ModelSources
import Packfiles
import Support
import Tensors
import TestSupport
import Testing

/// The size of a coded tensor, without coding it.
@Suite struct CodedSizeTests {
  @Test func sizesAreThoseOfFiles() throws {
    try withTemporaryFolder { folder in
      let tensors: [(String, StoredTensor)] = [
        ("narrow", Samples.int8([300, 1000])), ("wide", Samples.gaussian([3, 700_000], .f16)),
        ("small", Samples.int8([2, 100])), ("noise", Samples.noise([400, 400], .plain(.i8))),
        ("single", Samples.gaussian([100, 100], .f32)),
      ]
      let model = ModelSource(
        location: "memory", layout: "memory", index: [:],
        components: [
          ModelSource.Component(
            name: "unet", className: "UNet2DConditionModel", config: [:],
            weights: MemorySource(location: "memory", tensors))
        ], scheduler: nil, files: [])
      let path = folder + "/a.decant"
      let writer = PackfileWriter()
      try writer.write(model, to: path, replacing: false) { _, _ in }
      let reader = try PackfileReader(path: path)
      for packed in reader.manifest.components[0].tensors {
        let tensor = try #require(tensors.first(where: { $0.0 == packed.name })).1
        let size = codedByteCount(of: tensor)
        // Stored bytes are without the padding of parts to 64. Each stream of a chunk ends in a whole
        // byte.
        let chunks = packed.regions.reduce(0) {
          $0 + ($1.decodedLength / (1 << 18) + 1) * 4
        }
        #expect(size >= packed.storedBytes - 3 * chunks, "\(packed.name)")
        #expect(size <= packed.storedBytes + 64 * packed.regions.count, "\(packed.name)")
        #expect(writer.codedByteCount(of: tensor, options: WriteOptions()) == size)
        #expect(writer.codedByteCount(of: tensor, options: WriteOptions(codes: false)) == nil)
      }
    }
  }
}

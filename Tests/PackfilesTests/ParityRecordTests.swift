import Foundation
import ModelSources
import Packfiles
import Support
import TestSupport
import Testing

@Suite struct ParityRecordTests {
  @Test func aRecordIsAddedWithoutTouchingTheRegions() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.decant"
      let before = try written(Samples.mixed, in: folder)
      let old = try #require(FileManager.default.contents(atPath: path))
      var last = (0, 0)
      try Packfile.record(parity: ["psnr": 41.25], in: path) { last = ($0, $1) }
      #expect(last.0 == last.1 && last.1 > 0)

      let after = try PackfileReader(path: path)
      try after.check { _, _ in }
      #expect(after.parity == ["psnr": 41.25])
      var manifest = after.manifest
      manifest.parity = nil
      #expect(manifest == before.manifest)
      #expect(try contents(of: after.model()) == contents(of: Samples.mixed))
      // A file that was opened before does not change.
      #expect(before.parity == nil)
      #expect(try contents(of: before.model()) == contents(of: Samples.mixed))

      // A record replaces the one before it, and its removal restores the bytes.
      let new = try #require(FileManager.default.contents(atPath: path))
      try Packfile.record(parity: ["psnr": 7, "ssim": 0.5], in: path) { _, _ in }
      try Packfile.record(parity: ["psnr": 41.25], in: path) { _, _ in }
      #expect(FileManager.default.contents(atPath: path) == new)
      try Packfile.record(parity: nil, in: path) { _, _ in }
      #expect(FileManager.default.contents(atPath: path) == old)
      #expect(entries(of: folder) == ["model.decant"])
    }
  }

  @Test func damagedFilesAreNotChanged() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.decant"
      _ = try written(Samples.mixed, in: folder)
      var bytes = try #require(FileManager.default.contents(atPath: path))
      bytes[bytes.count - 200] ^= 4
      try bytes.write(to: URL(fileURLWithPath: path))
      #expect(throws: PackfileError(path, .damagedManifest)) {
        try Packfile.record(parity: [:], in: path) { _, _ in }
      }
      #expect(FileManager.default.contents(atPath: path) == bytes)
    }
  }

  @Test func readingThroughTheLayoutGivesTheModel() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/model.decant"
      _ = try written(Samples.mixed, in: folder)
      let model = try PackfileModelReader().read(path, options: ReadOptions())
      #expect(model.location == path)
      #expect(try contents(of: model) == contents(of: Samples.mixed))
      #expect(throws: VariantError(path: path, variant: "fp16")) {
        try PackfileModelReader().read(path, options: ReadOptions(variant: "fp16"))
      }
      #expect(throws: FileError.self) {
        try PackfileModelReader().read(folder + "/none", options: ReadOptions())
      }
    }
  }
}

import Foundation
import Sampling
import Support
import Tensors
import TestSupport
import Testing
import Workflow

/// Settings of `generate` that need an initial image, an SDXL model, or several models.
@Suite struct GenerateOptionTests {
  /// Two steps of one image of 16x16 pixels.
  private func request(_ change: (inout GenerateRequest) -> Void = { _ in }) -> GenerateRequest {
    var request = GenerateRequest.standard
    request.prompts = ["a red circle"]
    request.steps = 2
    request.scheduler = "euler"
    (request.width, request.height) = (16, 16)
    change(&request)
    return request
  }

  private func session(_ path: String) -> ModelSession {
    ModelSession(path: path, reading: InputOptions(), settings: ComputeSettings())
  }

  /// An image of 16x16 pixels with a gray level for each column.
  private func write(_ level: (_ column: Int) -> UInt8, to path: String) throws {
    let row = (0..<16).flatMap { column in [UInt8](repeating: level(column), count: 3) }
    let image = Image(width: 16, height: 16, pixels: (0..<16).flatMap { _ in row })
    try image.write(to: path, replacing: false)
  }

  /// The latents of 16x16 pixels are 2x2. Where the mask is black, they are those of the image.
  @Test func aMaskKeepsTheImageWhereItIsBlack() async throws {
    try await withTemporaryFolder { folder in
      let picture = folder + "/picture.png"
      try write({ UInt8($0 * 16) }, to: picture)
      try write({ _ in 0 }, to: folder + "/black.png")
      try write({ $0 < 8 ? 255 : 0 }, to: folder + "/half.png")
      try write({ _ in 255 }, to: folder + "/white.png")
      let session = session(tiny)
      func latents(mask: String?, strength: Double? = nil) async throws -> [Float] {
        let request = request {
          $0.initImagePath = picture
          $0.maskPath = mask.map { "\(folder)/\($0).png" }
          $0.strength = strength
        }
        return try await session.generate(request)[0].latents.values
      }
      let (black, half, white) = (
        try await latents(mask: "black"), try await latents(mask: "half"),
        try await latents(mask: "white")
      )
      for index in black.indices {
        // The right column is black in two of the masks.
        let isKept = index % 2 == 1
        #expect((half[index] == black[index]) == isKept, "\(index)")
        #expect(white[index] != black[index], "\(index)")
      }
      #expect(try await latents(mask: nil) != white)
      #expect(try await latents(mask: "white", strength: 0.5) != white)
    }
  }

  /// Each size and each coordinate is another input of SDXL's U-Net.
  @Test func sizeConditioningChangesTheLatents() async throws {
    let session = session(miniatureXL)
    let changes: [(String, @Sendable (inout GenerateRequest) -> Void)] = [
      ("none", { _ in }),
      ("crop from the left", { $0.crop = Crop(top: 0, left: 8) }),
      ("crop from the top", { $0.crop = Crop(top: 8, left: 0) }),
      ("original width", { $0.originalSize = ImageSize(width: 64, height: 16) }),
      ("original height", { $0.originalSize = ImageSize(width: 16, height: 64) }),
      ("target width", { $0.targetSize = ImageSize(width: 64, height: 16) }),
      ("target height", { $0.targetSize = ImageSize(width: 16, height: 64) }),
    ]
    var seen: [[Float]: String] = [:]
    for (setting, change) in changes {
      let request = request {
        $0.steps = 1
        change(&$0)
      }
      let latents = try await session.generate(request)[0].latents.values
      let same = seen.updateValue(setting, forKey: latents)
      #expect(same == nil, "\(setting) has the latents of \(same ?? "")")
    }
    // The defaults are the image's size and no crop.
    let stated = request {
      $0.steps = 1
      $0.crop = Crop(top: 0, left: 0)
      $0.originalSize = ImageSize(width: 16, height: 16)
      $0.targetSize = ImageSize(width: 16, height: 16)
    }
    let latents = try await session.generate(stated)[0].latents.values
    #expect(seen[latents] == "none")
  }

  @Test func aGridHasARowForEachModel() async throws {
    try await withTemporaryFolder { folder in
      func size(models: [String], count: Int) async throws -> [Int] {
        let path = folder + "/\(models.count)-\(count).png"
        let outcome = try await GenerateJob(
          models: models, reading: InputOptions(), compute: .f32,
          request: request { $0.count = count }, output: nil, grid: path, latentsOutput: nil,
          replacing: false
        ).run()
        #expect(outcome.text == path)
        let grid = try Image(png: ByteSlice.mapping(path).array, location: path)
        return [grid.width, grid.height]
      }
      // Images of 16 pixels with margins of 4, a label above each row, and the prompt below.
      let single = try await size(models: [tiny], count: 1)
      let row = try await size(models: [tiny], count: 26)
      let column = try await size(models: [tiny, miniature], count: 1)
      #expect([single, row, column] == [[512, 64], [524, 64], [512, 104]])
    }
  }

  /// Outputs are checked before the model is read, and nothing is replaced unless requested.
  @Test func outputsAreReplacedOnRequest() async throws {
    try await withTemporaryFolder { folder in
      let path = folder + "/a.png"
      try Data([1, 2, 3]).write(to: URL(fileURLWithPath: path))
      func run(replacing: Bool) async throws {
        _ = try await GenerateJob(
          models: [tiny], reading: InputOptions(), compute: .f32, request: request(), output: path,
          grid: nil, latentsOutput: nil, replacing: replacing
        ).run { if !replacing { Issue.record("\($0)") } }
      }
      await #expect(throws: FileError.self) { try await run(replacing: false) }
      #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == Data([1, 2, 3]))
      try await run(replacing: true)
      let image = try Image(png: ByteSlice.mapping(path).array, location: path)
      #expect(image.width == 16)
    }
  }
}

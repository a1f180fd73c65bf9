import Foundation
import ModelSources
import Models
import Sampling
import Support
import Tensors
import TestSupport
import Testing

/// Tiny models of every kind of pipeline, compared with diffusers' latents from
/// `Fixtures/golden/make_families.py`.
@Suite("Sampler of each family")
struct FamilyTests {
  static let tolerance = 2e-5

  static func cases() throws -> [JSONObject] {
    try golden("families.json").array("cases").compactMap(\.object)
  }

  @Test("generates diffusers' latents")
  func latents() throws {
    let cases = try Self.cases()
    #expect(cases.count == 11)
    for entry in cases {
      let name = Comment("\(try entry.string("name"))")
      let sampler = try Sampler(Self.model(entry))
      let latents = try sampler.denoise(try Self.request(entry))
      #expect(latents.shape.extents == (try entry.array("shape")).compactMap(\.integer), name)
      let error = relativeError(latents.values, try entry.floats("latents"))
      print("\(name): latents' relative error \(error)")
      #expect(error < Self.tolerance, name)
    }
  }

  @Test("uses every setting of the request: each one changes the latents")
  func settings() throws {
    let entry = try #require(try Self.cases().first { $0["name"] == "sdxl" })
    let sampler = try Sampler(Self.model(entry))
    let request = try Self.request(entry)
    let latents = try sampler.denoise(request)
    let changes: [(inout SamplingRequest) -> Void] = [
      { $0.negativePrompt = "" }, { $0.crop = Crop(top: 8, left: 0) },
      { $0.crop = Crop(top: 0, left: 8) },
      { $0.originalSize = nil }, { $0.targetSize = nil }, { $0.guidanceScale = 1 },
    ]
    for change in changes {
      var other = request
      change(&other)
      #expect(relativeError(try sampler.denoise(other).values, latents.values) > 1e-4)
    }
  }

  @Test("uses both aesthetic scores of the refiner")
  func aestheticScores() throws {
    let entry = try #require(try Self.cases().first { $0["name"] == "refiner" })
    let sampler = try Sampler(Self.model(entry))
    let request = try Self.request(entry)
    var positive = request
    positive.aestheticScore = 2
    var negative = request
    negative.negativeAestheticScore = 6
    let latents = try [request, positive, negative].map { try sampler.denoise($0).values }
    #expect(relativeError(latents[1], latents[0]) > 1e-6)
    #expect(relativeError(latents[2], latents[0]) > 1e-6)
    #expect(relativeError(latents[2], latents[1]) > 1e-6)
  }

  @Test("masks a gray image for an inpainting model without an initial image")
  func inpaintingFromText() throws {
    let entry = try #require(try Self.cases().first { $0["name"] == "inpainting model" })
    let sampler = try Sampler(Self.model(entry))
    var request = SamplingRequest(prompt: "a red cat")
    request.steps = 3
    request.seed = 7
    let whole = try sampler.denoise(request)
    #expect(whole.shape == [1, 4, 8, 8])
    #expect(whole.values.allSatisfy { $0.isFinite })
    let conditioning = try sampler.conditioning(for: request)
    #expect(conditioning.unconditional != nil)
    // The same as with conditioning computed by `denoise`.
    #expect(try sampler.denoise(request, conditioning: conditioning) == whole)
  }

  @Test(
    "has no unconditional branch for models without guidance or with guidance as an input",
    arguments: ["lcm", "turbo"])
  func branches(name: String) throws {
    let entry = try #require(try Self.cases().first { $0["name"] == .string(name) })
    let sampler = try Sampler(Self.model(entry))
    #expect(try sampler.conditioning(for: Self.request(entry)).unconditional == nil)
  }

  @Test("refuses a strength that leaves no step")
  func refusals() throws {
    let entry = try #require(try Self.cases().first { $0["name"] == "image" })
    let sampler = try Sampler(Self.model(entry))
    for (strength, words) in [
      (0, "the strength is 0.0, expected more than 0, up to 1"),
      (1.5, "the strength is 1.5, expected "), (-1, "the strength is -1.0, expected "),
      (.nan, "the strength is nan, expected "), (0.01, "a strength of 0.01 leaves none of "),
    ] as [(Double, String)] {
      var request = try Self.request(entry)
      request.initialImage?.strength = strength
      let error = try #require(throws: SamplingError.self) { _ = try sampler.denoise(request) }
      #expect(error.description.hasPrefix(words))
    }
  }

  // MARK: - Models and requests of the golden file

  static func model(_ entry: JSONObject) throws -> Model { try Model.bind(try source(entry)) }

  static func source(_ entry: JSONObject) throws -> ModelSource {
    let seeds = ["unet": 1, "vae": 2, "text_encoder": 3, "text_encoder_2": 4]
    let components = try entry.object("components").members.map { name, value in
      let facts = try #require(value.object)
      var component = ModelSource.Component(
        name: name, className: try facts.string("class"), config: try facts.object("config"),
        weights: DrawnWeights(seed: 0, modules: []))
      component.weights = DrawnWeights(
        seed: try #require(seeds[name]), modules: try #require(try component.modules(in: "test")))
      return component
    }
    var files: [ModelSource.File] = []
    for (folder, padding) in try entry.object("paddings").members {
      for name in ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"] {
        var bytes = try ByteSlice.mapping(fixture("golden/pipeline/tokenizer/" + name))
        if let padding = padding.string {
          let text = String(decoding: bytes.array, as: UTF8.self)
          let changed = text.replacingOccurrences(
            of: #""pad_token": "<|endoftext|>""#, with: #""pad_token": "\#(padding)""#)
          bytes = ByteSlice([UInt8](changed.utf8))
        }
        files.append(ModelSource.File(path: "\(folder)/\(name)", bytes: bytes))
      }
    }
    var index: JSONObject = ["_class_name": .string(try entry.string("pipeline"))]
    if let zeros = entry["force_zeros"]?.bool {
      index["force_zeros_for_empty_prompt"] = .bool(zeros)
    }
    return ModelSource(
      location: "golden", layout: "drawn", index: index,
      components: components.sorted { $0.name < $1.name },
      scheduler: try entry.object("scheduler"), files: files)
  }

  static func request(_ entry: JSONObject) throws -> SamplingRequest {
    func pair(_ value: JSONValue?) -> (Int, Int)? {
      guard let numbers = value?.array?.compactMap(\.integer), numbers.count == 2 else {
        return nil
      }
      return (numbers[0], numbers[1])
    }
    let ask = try entry.object("ask")
    var request = SamplingRequest(prompt: "a red cat")
    request.seed = 7
    request.steps = try entry.integer("steps")
    request.guidanceScale = try #require(ask["guidance_scale"]?.number)
    request.negativePrompt = ask["negative_prompt"]?.string
    request.count = ask["num_images_per_prompt"]?.integer ?? 1
    request.width = ask["width"]?.integer
    // diffusers' sizes are (height, width).
    request.originalSize = pair(ask["original_size"]).map { ImageSize(width: $0.1, height: $0.0) }
    request.targetSize = pair(ask["target_size"]).map { ImageSize(width: $0.1, height: $0.0) }
    if let crop = pair(ask["crops_coords_top_left"]) {
      request.crop = Crop(top: crop.0, left: crop.1)
    }
    if let (width, height) = pair(entry["image"]) {
      request.initialImage = InitialImage(
        image: Self.image(width, height),
        strength: try #require(ask["strength"]?.number),
        mask: pair(entry["mask"]).map { Self.mask($0.0, $0.1) })
    }
    return request
  }

  static func image(_ width: Int, _ height: Int) -> Image {
    painted(width, height) { x, y, c in (3 * x * x + 5 * (c + 1) * y + x * y) % 256 }
  }

  static func mask(_ width: Int, _ height: Int) -> Image {
    painted(width, height) { x, y, _ in 16..<40 ~= x && 8..<51 ~= y ? 255 : 0 }
  }

  private static func painted(
    _ width: Int, _ height: Int, level: (_ x: Int, _ y: Int, _ channel: Int) -> Int
  ) -> Image {
    var pixels: [UInt8] = []
    for y in 0..<height {
      for x in 0..<width {
        for channel in 0..<3 { pixels.append(UInt8(level(x, y, channel))) }
      }
    }
    return Image(width: width, height: height, pixels: pixels)
  }
}

/// The weights of make_families.py: each tensor is drawn with its own seed.
private struct DrawnWeights: WeightSource {
  let location = "golden"
  let names: [String]
  private let shapes: [String: Shape]
  private let seed: Int

  init(seed: Int, modules: [ModuleSpec]) {
    self.seed = seed
    names = modules.tensors.map(\.name).sorted()
    shapes = Dictionary(uniqueKeysWithValues: modules.tensors.map { ($0.name, $0.shape) })
  }

  func entry(_ name: String) -> TensorEntry? {
    shapes[name].map { TensorEntry(shape: $0, encoding: .plain(.f32)) }
  }

  func tensor(_ name: String) throws -> StoredTensor {
    let shape = try #require(shapes[name])
    var generator = TorchGenerator(seed: UInt64(1000 * seed + (names.firstIndex(of: name) ?? 0)))
    var values = generator.randn(shape).values
    if shape.rank == 1 {
      let center: Float = name.hasSuffix("weight") ? 1 : 0
      values = values.map { 0.1 * $0 + center }
    } else if !name.contains("embedding.weight") {
      let scale = Float(Double(shape.rowLength).squareRoot())
      values = values.map { $0 / scale }
    }
    return StoredTensor(shape: shape, floats: values)
  }
}

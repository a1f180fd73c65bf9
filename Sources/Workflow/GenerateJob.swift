private import Checkpoints
private import Foundation
internal import ModelSources
private import Models
internal import Sampling
package import Support
internal import Tensors

/// Names of the schedulers.
package let schedulerNames = Schedulers.all.map(\.name)

/// The user's settings of images to generate.
package struct GenerateRequest: Sendable {
  package var prompts: [String]
  package var negativePrompt: String?
  package var steps: Int
  package var guidanceScale: Double
  /// A scheduler's name; `nil` is the model's own.
  package var scheduler: String?
  package var seed: UInt64
  package var width: Int?
  package var height: Int?
  /// Images per prompt.
  package var count: Int
  /// A safetensors file with the initial noise as tensor `latents`.
  package var latentsPath: String?
  /// A PNG to start from, as in diffusers' image-to-image pipelines.
  package var initImagePath: String?
  /// A PNG that is white where the image is inpainted.
  package var maskPath: String?
  /// The strength of image-to-image, 0 to 1; `nil` is diffusers' default: 0.8, and 1 with a mask.
  package var strength: Double?
  package var originalSize: ImageSize?
  package var targetSize: ImageSize?
  package var crop: (x: Int, y: Int)?

  /// The files that the job reads besides models.
  var inputs: [String] { [latentsPath, initImagePath, maskPath].compactMap { $0 } }

  package static let standard: GenerateRequest = {
    let request = SamplingRequest(prompt: "")
    return GenerateRequest(
      prompts: [], negativePrompt: request.negativePrompt, steps: request.steps,
      guidanceScale: request.guidanceScale, scheduler: nil, seed: request.seed, width: nil,
      height: nil, count: request.count, latentsPath: nil)
  }()

  /// The sampler's request for one of the prompts.
  func sampling(_ prompt: String) throws -> SamplingRequest {
    var request = SamplingRequest(prompt: prompt)
    request.negativePrompt = negativePrompt
    request.steps = steps
    request.guidanceScale = guidanceScale
    request.scheduler = scheduler
    request.seed = seed
    request.width = width
    request.height = height
    request.count = count
    request.originalSize = originalSize.map { ($0.width, $0.height) }
    request.targetSize = targetSize.map { ($0.width, $0.height) }
    if let crop { request.crop = (top: crop.y, left: crop.x) }
    if let initImagePath {
      func image(_ path: String) throws -> Image {
        try Image(png: ByteSlice.mapping(path).array, location: path)
      }
      request.initialImage = InitialImage(
        image: try image(initImagePath), strength: strength ?? (maskPath == nil ? 0.8 : 1),
        mask: try maskPath.map(image))
    }
    if let latentsPath {
      let file = try SafetensorsFile(path: latentsPath)
      guard file.entry("latents") != nil else {
        throw JobError(
          "\(latentsPath): expected a tensor 'latents' [B,4,H/8,W/8], found "
            + listed(file.names))
      }
      request.latents = try file.tensor("latents").widened()
    }
    return request
  }
}

/// Generates images with the reference sampler.
package struct GenerateJob: Job {
  private let models: [String]
  private let reading: InputOptions
  private let compute: Compute
  private let request: GenerateRequest
  private let output: String?
  private let grid: String?
  private let latentsOutput: String?
  private let replacing: Bool

  /// - Parameters:
  ///   - output: the PNG file to write; more than one image becomes NAME-1.png, NAME-2.png, ….
  ///   - grid: the PNG file of a grid with a row per model and a column per image.
  ///   - latentsOutput: the safetensors file of the latents after the last step.
  package init(
    models: [String], reading: InputOptions, compute: Compute, request: GenerateRequest,
    output: String?,
    grid: String?, latentsOutput: String?, replacing: Bool
  ) {
    self.models = models
    self.reading = reading
    self.compute = compute
    self.request = request
    self.output = output
    self.grid = grid
    self.latentsOutput = latentsOutput
    self.replacing = replacing
  }

  package func run(_ events: @escaping EventSink) async throws -> GeneratedImages {
    let paths = output.map { imagePaths($0, count: request.prompts.count * request.count) } ?? []
    let outputs = paths + [grid, latentsOutput].compactMap { $0 }
    try refuseSameOutputs(outputs)
    for path in outputs {
      try refuseOverwriting(
        path, replacing: replacing, inputs: models + request.inputs + reading.composition.inputs)
    }
    for path in paths + [grid].compactMap({ $0 }) where !path.lowercased().hasSuffix(".png") {
      throw JobError(
        "\(path): images are written as PNG", remedy: .act("give a name that ends in .png"))
    }
    if let name = request.scheduler { _ = try Schedulers.named(name) }
    let requests = try request.prompts.map(request.sampling)
    // Every model is checked before the first one generates.
    let bound = try models.map { path in
      events(.stage("reading \(path)"))
      let model = try Model.bind(try ModelSource.reading(path, reading, events))
      for request in requests { try model.check(request) }
      try noteTruncation(
        of: request.prompts + [request.negativePrompt].compactMap { $0 }, by: model, events)
      if let first = requests.first { noteResizing(first, of: model, events) }
      return (path, model)
    }
    var rows: [[Image]] = []
    var written: [String] = []
    for (path, model) in bound {
      events(.stage("loading \(path)"))
      let sampler = try Sampler(model, arithmetic: compute.arithmetic)
      var row: [Image] = []
      for (index, sampling) in requests.enumerated() {
        events(
          .stage("generating with \(lastPathComponent(path)), \(index + 1) of \(requests.count)"))
        let (latents, images) = try sampler.generate(sampling) { done, total in
          events(.progress(done: done, total: total))
        }
        guard reading.allowsNonfinite || latents.values.allSatisfy(\.isFinite) else {
          throw JobError(
            "\(path): the latents are NaN or infinite after the last step",
            remedy: .either([
              .choose(.guidanceScale, purpose: "with a smaller value"),
              .choose(.scheduler, purpose: "with another name"),
              .act("check the model's weights with decant inspect"),
            ]))
        }
        row += images
        guard models.count == 1 else { continue }
        if let latentsOutput {
          try writeSafetensors(
            MemorySource(location: latentsOutput, [("latents", StoredTensor(latents))]),
            to: latentsOutput, replacing: replacing)
          written.append(latentsOutput)
        }
        for (number, image) in images.enumerated() where output != nil {
          let file = paths[index * request.count + number]
          try image.write(
            to: file, text: try texts(sampler, sampling, number, path), replacing: replacing)
          written.append(file)
        }
      }
      rows.append(row)
    }
    if let grid, let columns = rows.first?.count {
      try Image.contactSheet(rows.flatMap { $0 }, columns: columns)
        .write(to: grid, replacing: replacing)
      written.append(grid)
    }
    return GeneratedImages(paths: written, seed: request.seed)
  }

  /// Notes an initial image whose sides are not multiples of the autoencoder's factor, when the
  /// request names no size.
  private func noteResizing(_ sampling: SamplingRequest, of model: Model, _ events: EventSink) {
    guard let image = sampling.initialImage?.image, let path = request.initImagePath else { return }
    let size = model.size(for: sampling)
    let isCut =
      request.width == nil && size.width != image.width
      || request.height == nil && size.height != image.height
    guard isCut else { return }
    let factor = model.vae.downsamplingFactor
    events(
      .note(
        "\(path) is \(image.width)x\(image.height), and sides must be multiples of \(factor); "
          + "it is resized to \(size.width)x\(size.height), as diffusers does",
        remedy: .choose(.size, purpose: "for another size")))
  }

  private func texts(
    _ sampler: Sampler, _ sampling: SamplingRequest, _ number: Int, _ path: String
  ) throws -> [(keyword: String, text: String)] {
    let parameters = try sampler.parameters(
      for: sampling, image: number, modelName: lastPathComponent(path))
    return [(GenerationParameters.keyword, parameters.text)]
  }
}

/// `a.png` for one image; `a-1.png`, `a-2.png`, … for more.
private func imagePaths(_ path: String, count: Int) -> [String] {
  if count == 1 { return [path] }
  let parts = PathParts(path)
  let (stem, suffix) = parts.stemAndExtension
  return (1...max(1, count)).map { parts.sibling("\(stem)-\($0).\(suffix)") }
}

/// The files that `generate` wrote.
package struct GeneratedImages: JobOutcome {
  let paths: [String]
  let seed: UInt64

  package var json: JSONValue {
    [
      "outputs": .array(paths.map { .string($0) }),
      "seed": Int(exactly: seed).map { .integer($0) } ?? .string("\(seed)"),
    ]
  }

  package var text: String { paths.joined(separator: "\n") }
}

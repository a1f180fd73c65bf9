private import Checkpoints
internal import ModelSources
internal import Sampling
package import Support
internal import Tensors

/// Generates images with the reference sampler. Its outputs appear all or none.
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
    output: String?, grid: String?, latentsOutput: String?, replacing: Bool
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

  package func perform(_ events: @escaping EventSink) async throws -> GeneratedImages {
    try checkOutputs()
    try request.check()
    let paths = output.map { imagePaths($0, count: request.prompts.count * request.count) } ?? []
    let outputs = paths + [grid, latentsOutput].compactMap { $0 }
    try refuseSameOutputs(outputs)
    for path in outputs {
      try refuseOverwriting(
        path, replacing: replacing, inputs: models + request.inputs + reading.composition.inputs)
    }
    for path in [output, grid].compactMap({ $0 }) where !path.lowercased().hasSuffix(".png") {
      throw JobError(
        "\(path): images are written as PNG", remedy: .act("give a name that ends in .png"))
    }
    let samplings = try request.samplings
    let sessions = models.map {
      ModelSession(path: $0, reading: reading, settings: ComputeSettings(compute: compute))
    }
    // Every model is checked before the first one generates.
    for session in sessions { try await session.check(request, as: samplings, events) }
    try await checkSpace(for: sessions, samplings, paths)
    // The outputs appear together.
    let staged = StagedOutputs(replacing: replacing)
    var rows: [[Image]] = []
    var written: [String] = []
    for session in sessions {
      var row: [Image] = []
      for (index, sampling) in samplings.enumerated() {
        let generation = try await session.generate(
          sampling, index: index, of: samplings.count, events)
        row += generation.images
        guard models.count == 1 else { continue }
        if let latentsOutput {
          let latents = MemorySource(
            location: latentsOutput, [("latents", StoredTensor(generation.latents))])
          try staged.write(latentsOutput) { try writeSafetensors(latents, to: $0) }
          written.append(latentsOutput)
        }
        for (number, image) in generation.images.enumerated() where output != nil {
          let file = paths[index * request.count + number]
          let parameters = (GenerationParameters.keyword, generation.parameters[number].text)
          try staged.write(file) { try image.write(to: $0, text: [parameters], replacing: false) }
          written.append(file)
        }
      }
      rows.append(row)
      // The next model needs the memory.
      await session.unload()
    }
    if let grid, let columns = rows.first?.count {
      let sheet = Image.contactSheet(rows.flatMap { $0 }, columns: columns)
      try staged.write(grid) { try sheet.write(to: $0, replacing: false) }
      written.append(grid)
    }
    try Cancellation.check()
    try staged.commit()
    return GeneratedImages(paths: written, seed: request.seed)
  }

  /// Refuses PNG files that may not fit on their disk.
  private func checkSpace(
    for sessions: [ModelSession], _ samplings: [SamplingRequest], _ paths: [String]
  ) async throws {
    var sizes: [[ImageSize]] = []
    for session in sessions { sizes.append(try await session.imageSizes(of: samplings)) }
    let images = sizes.joined().reduce(0) { $0 + request.count * Image.mostBytes(ofPNG: $1) }
    if let first = paths.first { try requireSpace(images, for: first, isMost: true) }
    if let grid, let rows = sizes.first?.count {
      let all = Array(sizes.joined())
      let size = Image.contactSheetSize(
        all.flatMap { Array(repeating: $0, count: request.count) }, columns: rows * request.count)
      try requireSpace(Image.mostBytes(ofPNG: size), for: grid, isMost: true)
    }
  }

  /// Checks that there is an output, and that no models or prompts would share one.
  private func checkOutputs() throws(GenerateError) {
    if models.isEmpty { throw .noModel }
    if output == nil, grid == nil, latentsOutput == nil { throw .noOutput }
    if models.count > 1, output != nil || latentsOutput != nil { throw .outputsOfModels(models) }
    if latentsOutput != nil, request.prompts.count > 1 {
      throw .savedLatentsOfPrompts(request.prompts.count)
    }
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
      "outputs": .strings(paths),
      "seed": .seed(seed),
    ]
  }

  package var text: String { paths.joined(separator: "\n") }
}

extension JSONValue {
  /// A seed: an integer, or text beyond the range of integers.
  static func seed(_ seed: UInt64) -> JSONValue {
    Int(exactly: seed).map { .integer($0) } ?? .string("\(seed)")
  }
}

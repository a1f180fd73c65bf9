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
    var rows: [LabelledSheet.Row] = []
    var written: [String] = []
    for session in sessions {
      var images: [Image] = []
      var seconds = Double.infinity
      for (index, sampling) in samplings.enumerated() {
        let start = ContinuousClock.now
        let generation = try await session.generate(
          sampling, index: index, of: samplings.count, events)
        images += generation.images
        // The first prompt waits for the weights too.
        seconds = min(seconds, (ContinuousClock.now - start).seconds / Double(request.count))
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
      rows.append(LabelledSheet.Row(label: label(of: session.path, seconds), images: images))
      // The next model needs the memory.
      await session.unload()
    }
    if let grid {
      let sheet = LabelledSheet(rows, notes: gridNotes).image
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
    if let grid {
      let rows = sizes.map { $0.flatMap { Array(repeating: $0, count: request.count) } }
      let size = LabelledSheet.size(rows: rows, notes: gridNotes)
      try requireSpace(Image.mostBytes(ofPNG: size), for: grid, isMost: true)
    }
  }

  /// The line above a model's images: its name, the size of its files and the time of an image.
  private func label(of path: String, _ seconds: Double) -> String {
    "\(PathParts(path).name)   \(formatted(bytes: bytesOnDisk(path)))   "
      + "\(formatted(seconds, digits: 2)) s an image"
  }

  /// The prompts of a grid's columns, with their seeds.
  private var gridNotes: [String] {
    let seeds = (request.count == 1 ? "seed " : "seeds from ") + "\(request.seed)"
    if request.prompts.count == 1 { return ["\(request.prompts[0]) (\(seeds))"] }
    return request.prompts.enumerated().map { index, prompt in
      let first = index * request.count + 1
      let columns = request.count == 1 ? "\(first)" : "\(first)-\(first + request.count - 1)"
      return "\(columns): \(prompt)" + (index == 0 ? " (\(seeds))" : "")
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

import Sampling
import Support
private import Synchronization
import Verification
import Workflow

/// Does the work of jobs. One model is loaded at a time: the memory of the server is that of the
/// largest model, and the peak memory of each can be told.
final class JobRunner: Sendable {
  /// Changes the job and sends an event of that name with the returned data.
  typealias Update =
    @Sendable (_ event: String, _ change: (inout StudioJob) -> JSONValue?) -> Void

  private let models: [StudioModel]
  private let bench: BenchRunner
  /// The index of the model that may be loaded.
  private let loaded = Mutex<Int?>(nil)

  init(models: [StudioModel], bench: @escaping BenchRunner) {
    self.models = models
    self.bench = bench
  }

  /// - Throws: `CancellationError`, or an error of the work.
  func run(_ work: StudioWork, _ update: @escaping Update) async throws {
    switch work {
    case .generate(let work): try await generate(work, update)
    case .bench(let work):
      await unload(except: nil)
      let results = try await bench(work) { event in
        guard case .stage(.measuring(let model, _)) = event else { return }
        update("progress") { job in
          job.progress.stage = "measuring"
          job.progress.model = model
          return job.progress.json
        }
      }
      update("bench") { job in
        job.bench = results
        return nil
      }
    }
  }

  // MARK: - Generating

  private func generate(_ work: GenerateWork, _ update: @escaping Update) async throws {
    update("progress") { job in
      job.progress.images = work.models.count * work.count
      return nil
    }
    for (place, index) in work.models.enumerated() {
      let model = models[index]
      await unload(except: index)
      resetPeakMemory()
      update("progress") { job in
        job.results.append(ModelResult(model: model.name, fileBytes: model.facts.fileBytes))
        job.progress.model = model.name
        job.progress.stage = "reading"
        job.progress.secondsPerStep = nil
        return job.progress.json
      }
      let start = ContinuousClock.now
      for image in 0..<work.count {
        let clock = StepTimes()
        let made = try await model.generator.generate(work.request(image), reportsLatents: true) {
          self.report($0, of: model, clock, update)
        }
        // A generator that made no image has nothing to report.
        guard let generation = made.first, let pixels = generation.images.first,
          let parameters = generation.parameters.first
        else { continue }
        let decoding = clock.secondsSinceStep()
        let reference = try Self.reference(place, image, pixels, update)
        let finished = try Self.jobImage(pixels, parameters, reference: reference)
        update("image") { job in
          job.results[place].images.append(finished)
          job.results[place].pixels.append(pixels)
          job.progress.imagesDone += 1
          job.progress.step = 0
          job.progress.secondsOfDecoding = decoding
          return job.json(position: 0)
        }
      }
      let seconds = (ContinuousClock.now - start).seconds
      update("progress") { job in
        job.results[place].seconds = seconds
        job.results[place].secondsPerStep = job.progress.secondsPerStep
        job.results[place].peakBytes = peakMemory()
        return job.progress.json
      }
    }
  }

  /// The first model's image of the same seed; `nil` for the first model.
  ///
  /// - Throws: ``RequestError`` where it has another size.
  private static func reference(
    _ place: Int, _ image: Int, _ found: Image, _ update: Update
  ) throws(RequestError) -> Image? {
    var reference: Image?
    update("") { job in
      if place > 0, job.results[0].pixels.indices.contains(image) {
        reference = job.results[0].pixels[image]
      }
      return nil
    }
    if let reference, (reference.width, reference.height) != (found.width, found.height) {
      throw RequestError(
        .unprocessable,
        "the models make images of different sizes, \(reference.width)x\(reference.height) and "
          + "\(found.width)x\(found.height)", remedy: .choose(.size, purpose: "for both models"))
    }
    return reference
  }

  private static func jobImage(
    _ pixels: Image, _ parameters: GenerationParameters, reference: Image?
  ) throws -> JobImage {
    let compared = reference.map { ComparedImages(reference: $0, candidate: pixels) }
    return JobImage(
      png: try pixels.png(text: [(GenerationParameters.keyword, parameters.text)]),
      width: pixels.width, height: pixels.height, parameters: parameters,
      comparison: compared?.comparison,
      difference: try reference.map { try pixels.difference(from: $0).png() })
  }

  /// Records an event of a model. Called on the thread that computes.
  private func report(
    _ event: JobEvent, of model: StudioModel, _ clock: StepTimes, _ update: Update
  ) {
    switch event {
    case .stage(let stage):
      update("progress") { job in
        switch stage {
        case .reading: job.progress.stage = "reading"
        case .loading: job.progress.stage = "loading"
        default: job.progress.stage = "generating"
        }
        clock.begin()
        return job.progress.json
      }
    case .latents(let step, let total, let latents):
      let seconds = clock.step()
      let preview = (model.generator.preview(of: latents)).flatMap { try? $0.png() }
      update("step") { job in
        job.progress.step = step
        job.progress.steps = total
        job.progress.secondsPerStep = seconds
        job.progress.stage = step == total ? "decoding" : "generating"
        job.preview = preview
        var object = job.progress.json.object ?? [:]
        object["preview"] =
          preview.map { .string("data:image/png;base64," + base64($0)) } ?? .null
        return .object(object)
      }
    case .note(let text, _):
      update("note") { job in
        if job.notes.contains(text) { return nil }
        job.notes.append(text)
        return ["text": .string(text)]
      }
    case .progress: break
    }
  }

  private func unload(except index: Int?) async {
    let previous = loaded.withLock { loaded in
      let previous = loaded
      loaded = index
      return previous
    }
    if let previous, previous != index { await models[previous].generator.unload() }
  }

  /// The error for the client. Those of its request are its fault, others the server's.
  static func requestError(_ error: any Error) -> RequestError {
    if let error = error as? RequestError { return error }
    return RequestError(
      isFaultOfRequest(error) ? .unprocessable : .serverError, bounded(message: "\(error)"),
      remedy: (error as? any RemediableError)?.remedy)
  }
}

/// The times of the steps of an image.
private final class StepTimes: Sendable {
  private struct Times {
    var last = ContinuousClock.now
    /// Of all steps but the first, which also reads the weights.
    var seconds = 0.0
    var steps = 0
  }

  private let times = Mutex(Times())

  /// Begins the first step now.
  func begin() { times.withLock { $0.last = .now } }

  /// Ends a step.
  ///
  /// - Returns: the mean of the seconds of the steps so far, without the first one if there are others.
  func step() -> Double {
    times.withLock { times in
      let seconds = (.now - times.last).seconds
      times.last = .now
      times.steps += 1
      if times.steps == 1 { return seconds }
      times.seconds += seconds
      return times.seconds / Double(times.steps - 1)
    }
  }

  func secondsSinceStep() -> Double { times.withLock { (.now - $0.last).seconds } }
}

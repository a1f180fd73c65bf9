import Foundation
import Sampling
import Support
import Verification
import Workflow

/// A job of the server: its state, what it has made, and those who follow it.
struct StudioJob: Sendable {
  enum State: String, CaseIterable, Sendable {
    case queued, running, done, failed, cancelled

    var isFinished: Bool { self != .queued && self != .running }
  }

  let id: String
  let work: StudioWork
  var state = State.queued
  let created = Date()
  var started: ContinuousClock.Instant?
  var seconds: Double?
  var progress = StudioProgress()
  var notes: [String] = []
  var results: [ModelResult] = []
  /// The answer of a bench.
  var bench: JSONValue?
  var failure: RequestError?
  /// The last small picture, as PNG.
  var preview: [UInt8]?
  /// When somebody last asked for the job or stopped following it.
  var lastSeen = ContinuousClock.now
  /// Those who wait for events, by a number of their own.
  var followers: [Int: AsyncStream<ServerSentEvent>.Continuation] = [:]

  init(id: String, work: StudioWork) {
    self.id = id
    self.work = work
  }

  /// Bytes of the images that are kept.
  var imageBytes: Int {
    results.reduce(0) { total, result in
      total + result.images.reduce(0) { $0 + $1.png.count + ($1.difference?.count ?? 0) }
    }
  }

  /// Seconds since 1970.
  var createdSeconds: Int { Int(created.timeIntervalSince1970) }

  /// The images of a job in the order in which they were made, each once.
  var images: [JobImage] { results.flatMap(\.images) }

  /// - Parameter position: the number of jobs before this one; 0 for one that does not wait.
  func json(position: Int) -> JSONValue {
    var place = 0
    var models: [JSONValue] = []
    for result in results {
      models.append(result.json(job: id, first: place))
      place += result.images.count
    }
    let object: JSONObject = [
      "id": .string(id), "kind": .string(work.kind), "state": .string(state.rawValue),
      "position": .integer(position), "created": .integer(createdSeconds),
      "settings": work.json, "progress": progress.json,
      "seconds": seconds.map { .number($0) } ?? .null, "notes": .strings(notes),
      "error": failure.flatMap { ErrorShape.own.json(of: $0).object?["error"] } ?? .null,
      "results": .array(models), "bench": bench ?? .null,
    ]
    return .object(object)
  }
}

/// An image of a job, with its comparison with the first model's image of the same seed.
struct JobImage: Sendable {
  let png: [UInt8]
  let width: Int
  let height: Int
  let parameters: GenerationParameters
  /// `nil` for the images of the first model.
  let comparison: ImageComparison?
  /// The differences times 8, as PNG.
  let difference: [UInt8]?

  /// - Parameter url: the path of the image.
  fileprivate func json(url: String) -> JSONValue {
    var object: JSONObject = [
      "url": .string(url + ".png"), "width": .integer(width), "height": .integer(height),
      "seed": .string("\(parameters.seed)"), "parameters": .string(parameters.text),
    ]
    if let comparison {
      object["comparison"] = [
        "identical": .bool(comparison.isIdentical),
        // Infinite for identical images, which JSON cannot represent.
        "psnr": comparison.isIdentical ? .null : .number(comparison.psnr),
        "ssim": comparison.ssim.map { .number($0) } ?? .null,
        "share_within_one_level": .number(comparison.shareWithinOneLevel),
        "largest_difference": .number(comparison.largestDifference),
        "difference_url": difference == nil ? .null : .string(url + "-difference.png"),
      ]
    }
    return .object(object)
  }
}

/// What one model made in a job.
struct ModelResult: Sendable {
  let model: String
  var images: [JobImage] = []
  /// The pixels of the images, until the job ends.
  var pixels: [Image] = []
  var seconds: Double?
  var secondsPerStep: Double?
  /// The peak memory of the process while only this model was loaded.
  var peakBytes: Int?
  let fileBytes: Int?

  init(model: String, fileBytes: Int?) {
    self.model = model
    self.fileBytes = fileBytes
  }

  /// - Parameter first: the number of the first image among those of the job.
  fileprivate func json(job: String, first: Int) -> JSONValue {
    [
      "model": .string(model),
      "images": .array(
        images.enumerated().map { $1.json(url: "/api/jobs/\(job)/images/\(first + $0)") }),
      "seconds": seconds.map { .number($0) } ?? .null,
      "seconds_per_step": secondsPerStep.map { .number($0) } ?? .null,
      "peak_bytes": peakBytes.map { .integer($0) } ?? .null,
      "file_bytes": fileBytes.map { .integer($0) } ?? .null,
    ]
  }
}

/// How far a job is.
struct StudioProgress: Sendable {
  /// `waiting`, `reading`, `loading`, `generating`, `decoding`, `measuring`.
  var stage = "waiting"
  var model: String?
  /// Images of all models: those that are done, and all.
  var imagesDone = 0
  var images = 0
  /// Steps of the present image.
  var step = 0
  var steps = 0
  var secondsPerStep: Double?
  /// Of the last image: from its last step to its end.
  var secondsOfDecoding = 0.0

  /// The part of the work that is done, 0 to 1.
  var share: Double {
    guard images > 0 else { return 0 }
    // The decoder counts as one step.
    let ofImage = steps > 0 ? Double(step) / Double(steps + 1) : 0
    return min(1, (Double(imagesDone) + ofImage) / Double(images))
  }

  /// An estimate of the seconds that remain; `nil` before the first step.
  var secondsLeft: Double? {
    guard let secondsPerStep, images > imagesDone else { return nil }
    let after = Double(images - imagesDone - 1)
    return Double(steps - step) * secondsPerStep + secondsOfDecoding
      + after * (Double(steps) * secondsPerStep + secondsOfDecoding)
  }

  var json: JSONValue {
    [
      "stage": .string(stage), "model": model.map { .string($0) } ?? .null,
      "images_done": .integer(imagesDone), "images": .integer(images), "step": .integer(step),
      "steps": .integer(steps), "share": .number(share),
      "seconds_per_step": secondsPerStep.map { .number($0) } ?? .null,
      "seconds_left": secondsLeft.map { .number($0) } ?? .null,
    ]
  }
}

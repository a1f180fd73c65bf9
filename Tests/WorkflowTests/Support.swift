import Foundation
import ModelSources
import Packfiles
import Support
import Synchronization
import Tensors
import TestSupport
import Testing
import Workflow

/// The trained miniature of Stable Diffusion 1.
let miniature = fixture("mini-sd")

/// The trained miniature of SDXL, in which every level of the U-Net matters.
let miniatureXL = fixture("mini-sdxl")

/// A pipeline of 300,000 random weights.
let tiny = fixture("golden/pipeline")

/// One step of one small image.
let smallCalibration: CalibrationRequest = {
  var request = CalibrationRequest(.standard)
  request.promptLimit = 1
  request.set(steps: 1, sizes: [ImageSize(width: 16, height: 16)])
  return request
}()

/// Two steps of one small image, without baselines.
let smallVerification: VerificationRequest = {
  var request = VerificationRequest.standard
  request.promptLimit = 1
  request.set(steps: 2, sizes: [ImageSize(width: 16, height: 16)])
  request.hasBaselines = false
  return request
}()

extension CalibrateJob {
  /// A calibration of `model`.
  init(
    of model: String, _ settings: CalibrationRequest = smallCalibration, to output: String,
    resumes: Bool = false, shard: Shard? = nil, measures: Set<Measurement> = [],
    replacing: Bool = false
  ) {
    self.init(
      task: .run(
        Run(
          model: model, reading: InputOptions(), settings: settings, resumes: resumes, shard: shard,
          measures: measures)),
      output: output, replacing: replacing)
  }
}

extension Job {
  /// Runs the job. Its progress must never fall within a stage.
  func run() async throws -> Outcome { try await run(EventLog().add) }
}

extension OutputRequest {
  /// The parameters are those of ``LayoutRequest``.
  init(
    path: String, kind: String? = nil, replacing: Bool = false, variant: String? = nil,
    maxShardSize: Int? = nil, program: String? = nil, numbering: String? = nil,
    codes: Bool? = nil
  ) {
    self.init(
      path: path,
      layout: LayoutRequest(
        kind: kind, variant: variant, maxShardSize: maxShardSize, program: program,
        numbering: numbering, codes: codes),
      replacing: replacing)
  }
}

/// The events of a job. Records an issue when the progress falls within a stage.
final class EventLog: Sendable {
  private let events = Mutex<[JobEvent]>([])

  func add(_ event: JobEvent) {
    let before = events.withLock { events in
      events.append(event)
      return events.dropLast()
    }
    guard case .progress(let done, let total) = event else { return }
    for last in before.reversed() {
      if case .stage = last { return }
      if case .progress(let earlier, let whole) = last {
        #expect(
          Double(done) / Double(max(1, total)) >= Double(earlier) / Double(max(1, whole)),
          "progress falls from \(earlier) of \(whole) to \(done) of \(total)")
        return
      }
    }
  }

  var isEmpty: Bool { events.withLock { $0.isEmpty } }

  var stages: [Stage] {
    events.withLock { $0.compactMap { if case .stage(let stage) = $0 { stage } else { nil } } }
  }

  var notes: [String] {
    events.withLock { $0.compactMap { if case .note(let text, _) = $0 { text } else { nil } } }
  }
}

/// The bytes of a file, or of every file in a folder, by path below `path`.
func contents(_ path: String) throws -> [String: Data] {
  let names = FileManager.default.enumerator(atPath: path)?.compactMap { $0 as? String } ?? []
  let files = isFolder(path) ? names.filter { !isFolder(path + "/" + $0) } : [""]
  return try Dictionary(
    uniqueKeysWithValues: files.map { name in
      (name, try Data(contentsOf: URL(fileURLWithPath: name.isEmpty ? path : path + "/" + name)))
    })
}

/// Runs `body` with a temporary folder, which is removed afterwards.
func withTemporaryFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
  let folder = try temporaryFolder()
  defer { try? FileManager.default.removeItem(atPath: folder) }
  return try await body(folder)
}

/// A new folder, which the caller removes.
func temporaryFolder() throws -> String {
  let folder = FileManager.default.temporaryDirectory
    .appendingPathComponent("decant-test-\(UUID().uuidString)").path
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  return folder
}

/// The model of a `.decant` file.
func packed(_ path: String) throws -> ModelSource {
  try PackfileModelReader().read(path, options: ReadOptions())
}

/// The name of the first quantized tensor of the U-Net in a `.decant` file.
func firstQuantized(_ path: String) throws -> String {
  let weights = try #require(try packed(path)["unet"]).weights
  let names = weights.names.filter(weights.isQuantized)
  return try #require(names.first)
}

/// The bytes, encoding and shape of every weight, by name.
func weights(_ model: ModelSource) throws -> [String: [String]] {
  var all: [String: [String]] = [:]
  for component in model.components {
    for name in component.weights.names {
      let tensor = try component.weights.tensor(name)
      all["\(component.name)/\(name)"] =
        ["\(tensor.shape) \(tensor.encoding.name)"]
        + tensor.parts.map { Data($0.array).base64EncodedString() }
    }
  }
  return all
}

extension JSONValue {
  subscript(_ name: String) -> JSONValue? { object?[name] }
}

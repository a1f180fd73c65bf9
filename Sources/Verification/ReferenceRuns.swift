import Calibration
import ModelSources
import Models
import Sampling
import Support

/// The runs of the reference in a verification, and the work of all models.
struct ReferenceRuns {
  /// The runs whose images are compared.
  let imageRuns: [CalibrationRun]
  /// The runs whose calls are recorded; none where calls were recorded before.
  let callRuns: [CalibrationRun]
  /// The settings of the runs.
  let settings: CalibrationSettings
  let imageSize: ImageSize
  /// The calls of a run.
  let stepCount: Int
  /// The scheduler of the request, and the config that all models use so that steps are comparable.
  private let scheduler: (name: String?, config: JSONObject)
  /// The sizes of the calls that every model evaluates, one for each call.
  private let callSizes: [ImageSize]
  /// The size of the calls whose blocks are compared, and their number.
  private let blocks: (size: ImageSize, count: Int)

  /// - Parameter recorded: the calls that were recorded before; `nil` for none.
  /// - Precondition: the settings have prompts, seeds and a size.
  init(
    _ settings: VerificationSettings, size: ImageSize, of sampler: Sampler,
    recorded: RecordedCalls?
  ) throws {
    let model = sampler.model
    var request = SamplingRequest(prompt: "")
    request.steps = settings.steps
    request.scheduler = settings.scheduler
    scheduler = (
      settings.scheduler, model.scheduler ?? model.family.architecture.scheduler
    )
    stepCount = try sampler.scheduler(for: request).timesteps.count
    imageSize = size
    imageRuns = settings.imageRuns(size: size)
    callRuns = recorded == nil ? settings.callRuns(size: size) : []
    self.settings = CalibrationSettings(
      steps: settings.steps, recordedSteps: stepCount,
      scheduler: try model.schedulerKind(for: request).name,
      guidanceScale: settings.guidanceScale, sizes: [size] + settings.otherSizes)
    if let recorded {
      callSizes = recorded.calls.map(\.run.size)
    } else {
      callSizes = callRuns.map(\.size).flatMap { [count = stepCount] size in
        [ImageSize](repeating: size, count: count)
      }
    }
    let least = callSizes.min { $0.area < $1.area } ?? size
    blocks = (
      least, min(settings.blockSteps, recorded.map { $0.blockCandidates.count } ?? stepCount)
    )
  }

  // MARK: - Work

  /// What every model will compute.
  func plan(baselines: Int, reusesCalls: Bool) -> VerificationPlan {
    VerificationPlan(
      referenceCalls: allRuns.count * stepCount + blocks.count,
      candidateCalls: callSizes.count + imageRuns.count * stepCount,
      baselineCalls: baselines * callSizes.count, images: imageRuns.count, imageSize: imageSize,
      reusesCalls: reusesCalls)
  }

  /// The work of all models, in calls of the smallest size.
  func work(models: Int) -> Int {
    let reference = allRuns.reduce(0) { $0 + weight(of: $1.size) * stepCount }
    let calls = callSizes.reduce(0) { $0 + weight(of: $1) }
    let images = imageRuns.count * (weight(of: imageSize) * stepCount + imageWork)
    return 1 + reference + Set(imageRuns).count * imageWork + blockWork + models * calls + images
  }

  /// The work of a call.
  func weight(of size: ImageSize) -> Int {
    let least = (callSizes + [imageSize]).map(\.area).min() ?? size.area
    return max(1, size.area / max(1, least))
  }

  /// The work of decoding an image, which takes about as long as two calls.
  var imageWork: Int { 2 * weight(of: imageSize) }

  /// The work of the calls that are repeated for the outputs of the reference's blocks.
  var blockWork: Int { blocks.count * weight(of: blocks.size) }

  // MARK: - Runs

  /// Each run once.
  private var allRuns: [CalibrationRun] {
    (imageRuns + callRuns).reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  private func request(for run: CalibrationRun) -> SamplingRequest {
    var request = settings.request(for: run)
    request.scheduler = scheduler.name
    request.schedulerConfig = scheduler.config
    return request
  }

  /// Runs the reference.
  ///
  /// - Parameter progress: called with the work done.
  /// - Returns: the calls of ``callRuns``, and a trajectory for each of ``imageRuns``.
  func perform(
    by sampler: Sampler, progress: (Int) -> Void
  ) throws -> (calls: [ReferenceCall], trajectories: [Trajectory]) {
    let (withImage, withCalls) = (Set(imageRuns), Set(callRuns))
    var calls: [ReferenceCall] = []
    var trajectories: [CalibrationRun: Trajectory] = [:]
    for run in allRuns {
      let recorder =
        withCalls.contains(run) ? CallRecorder(run: run, recording: Set(0..<stepCount)) : nil
      let work = weight(of: run.size)
      if withImage.contains(run) {
        trajectories[run] = try Trajectory(
          request(for: run), of: sampler, recorder: recorder
        ) {
          progress(work)
        } didDecode: {
          progress(imageWork)
        }
      } else {
        _ = try sampler.denoise(request(for: run), observer: recorder) { _, _ in progress(work) }
      }
      calls += recorder?.calls ?? []
    }
    return (calls, imageRuns.compactMap { trajectories[$0] })
  }
}

/// Recorded calls with the outputs of the reference's blocks at some of them.
struct ReferenceBlocks {
  let replay: CallReplay
  let settings: CalibrationSettings
  /// By index of the call.
  let taps: [Int: RecordingTap]
  /// Whether the reference predicts what the calls recorded.
  let isRepeatable: Bool

  /// The largest relative error of a repeated prediction. Processors differ in the last bits.
  private static let tolerance = 1e-3

  /// Repeats `count` calls of the first run of the smallest size.
  init(_ recorded: RecordedCalls, by sampler: Sampler, count: Int) throws {
    settings = recorded.settings
    replay = try CallReplay(recorded.calls, recorded.settings, by: sampler)
    var taps: [Int: RecordingTap] = [:]
    var isRepeatable = true
    let candidates = recorded.blockCandidates
    for place in spread(count, over: candidates.count).sorted() {
      let (tap, index) = (RecordingTap(), candidates[place])
      let found = try replay.predict(index, observer: tap)
      let error = relativeError(
        of: found.conditional, from: recorded.calls[index].conditional)
      if !(error <= Self.tolerance) { isRepeatable = false }
      taps[index] = tap
    }
    self.taps = taps
    self.isRepeatable = isRepeatable
  }

  /// Names of the blocks in the order of execution.
  var names: [String] { taps.min { $0.key < $1.key }?.value.names ?? [] }
}

extension RecordedCalls {
  /// The indices of the calls of the first run of the smallest size.
  var blockCandidates: [Int] {
    guard let least = calls.map(\.run.size).min(by: { $0.area < $1.area }),
      let run = calls.first(where: { $0.run.size == least })?.run
    else { return [] }
    return calls.indices.filter { calls[$0].run == run }
  }
}

extension ImageSize {
  /// In pixels.
  var area: Int { width * height }
}

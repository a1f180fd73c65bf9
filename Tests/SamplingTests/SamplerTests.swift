import Checkpoints
import Execution
import Foundation
import ModelSources
import Models
import Sampling
import Support
import Synchronization
import Tensors
import TestSupport
import Testing

@Suite("Sampler")
struct SamplerTests {
  /// Largest relative RMS error of latents after up to 20 steps. The contract is 1e-3; only the
  /// order of float32 sums differs.
  static let latentTolerance = 2e-5

  /// The tiny random pipeline of make_pipeline.py.
  static func sampler() throws -> Sampler {
    let source = try DiffusersFolderReader().read(
      fixture("golden/pipeline"), options: ReadOptions())
    return try Sampler(Model.bind(source))
  }

  static func request(_ entry: JSONObject, of model: Model) throws -> SamplingRequest {
    var request = SamplingRequest(prompt: try entry.string("prompt"))
    request.negativePrompt = try entry.string("negative")
    request.steps = try entry.integer("steps")
    request.guidanceScale = try #require(entry["scale"]?.number)
    request.scheduler = entry["scheduler"]?.string
    request.seed = try #require(UInt64(try entry.string("seed")))
    request.width = try entry.integer("width")
    request.height = try entry.integer("height")
    request.count = try entry.integer("count")
    if let values = entry["given"]?.floats {
      request.latents = Tensor(shape: [1, 4, 8, 8], values: values)
    }
    let changes = try entry.object("changes")
    if !changes.isEmpty {
      var config = try #require(model.scheduler)
      for (key, value) in changes.members { config[key] = value }
      request.schedulerConfig = config
    }
    return request
  }

  @Test("refuses a second text encoder without its tokenizer")
  func secondTextEncoderAlone() throws {
    var source = try DiffusersFolderReader().read(
      fixture("golden/pipeline"), options: ReadOptions())
    let encoder = try #require(source["text_encoder"])
    source["text_encoder"] = nil
    source.components.append(
      ModelSource.Component(
        name: "text_encoder_2", className: encoder.className, config: encoder.config,
        weights: encoder.weights))
    let model = try Model.bind(source)
    let error = try #require(throws: TokenizerError.self) { _ = try Sampler(model) }
    #expect(
      error.description.hasPrefix("\(source.location): the tokenizer's vocab.json is missing"))
  }

  @Test("generates diffusers' latents and images")
  func pipeline() throws {
    let sampler = try Self.sampler()
    for case .object(let entry) in try golden("pipeline.json").array("cases") {
      let name = try entry.string("name")
      let request = try Self.request(entry, of: sampler.model)
      let recorder = StepRecorder()
      let latents = try sampler.denoise(request, observer: recorder)
      #expect(latents.shape.extents == (try entry.array("shape")).compactMap(\.integer), "\(name)")
      let error = relativeError(latents.values, try entry.floats("latents"))
      print("\(name), \(request.steps) steps: latents' relative error \(error)")
      #expect(error < Self.latentTolerance, "\(name)")
      let sizes = try entry.array("sizes").compactMap(\.number)
      #expect(recorder.steps.count == sizes.count, "\(name)")
      for (step, size) in zip(recorder.steps, sizes) {
        let power = step.after.values.reduce(0) { $0 + Double($1) * Double($1) }
        let root = (power / Double(step.after.values.count)).squareRoot()
        #expect(abs(root / size - 1) < 1e-5, "\(name), step \(step.index)")
      }
      guard entry["picture"] == true else { continue }
      for (index, image) in try sampler.decode(latents).enumerated() {
        let path = fixture("golden/pipeline-\(name)-\(index).png")
        let expected = try Image(png: try ByteSlice.mapping(path).array, location: path)
        #expect(image.width == expected.width && image.height == expected.height)
        let far = zip(image.pixels, expected.pixels).count { abs(Int($0) - Int($1)) > 1 }
        let equal = zip(image.pixels, expected.pixels).count { $0 == $1 }
        print("\(name) \(index): \(equal) of \(image.pixels.count) levels equal, \(far) off by 2")
        #expect(Double(far) <= 0.001 * Double(image.pixels.count), "\(name)")
      }
    }
  }

  @Test("uses every setting of the request: each one changes the latents")
  func settings() throws {
    let sampler = try Self.sampler()
    var request = SamplingRequest(prompt: "a red cat")
    request.steps = 3
    let latents = try sampler.denoise(request).values
    var config = try #require(sampler.model.scheduler)
    config["beta_end"] = 0.02
    var noise = TorchGenerator(seed: 1)
    let given = noise.randn([1, 4, 8, 8])
    let changes: [(name: String, change: (inout SamplingRequest) -> Void)] = [
      ("prompt", { $0.prompt = "a blue dog" }),
      ("negative prompt", { $0.negativePrompt = "blurry" }),
      ("steps", { $0.steps = 4 }),
      ("guidance scale", { $0.guidanceScale = 4 }),
      ("scheduler", { $0.scheduler = "euler" }),
      ("scheduler config", { $0.schedulerConfig = config }),
      ("seed", { $0.seed = 1 << 31 }),
      ("latents", { $0.latents = given }),
    ]
    for (name, change) in changes {
      var changed = request
      change(&changed)
      let error = relativeError(try sampler.denoise(changed).values, latents)
      #expect(error > 1e-4, "\(name)")
    }
    // The noise of seed 1 is what the generator draws.
    request.seed = 1
    let seeded = try sampler.denoise(request)
    request.latents = given
    #expect(try sampler.denoise(request) == seeded)
  }

  @Test("reports branches, images and timesteps of its calls to observers")
  func calls() throws {
    let sampler = try Self.sampler()
    var request = SamplingRequest(prompt: "a red cat")
    request.steps = 2
    request.count = 2
    let recorder = StepRecorder()
    _ = try sampler.denoise(request, observer: recorder)
    // PLMS takes its second step twice.
    #expect(recorder.calls.map(\.timestep) == [501, 1, 1])
    #expect(recorder.calls.allSatisfy { $0.branches == [.unconditional, .conditional] })
    #expect(recorder.calls.allSatisfy { $0.images == 0..<2 })
    // Both branches of both images go through the first layer in one batch.
    #expect(recorder.activations.inputs["conv_in"] == [4, 4, 8, 8])
    request.guidanceScale = 1
    let unguided = StepRecorder()
    _ = try sampler.denoise(request, observer: unguided)
    #expect(unguided.calls.allSatisfy { $0.branches == [.conditional] })
    #expect(unguided.steps.allSatisfy { $0.prediction.unconditional == nil })
    #expect(unguided.activations.inputs["conv_in"] == [2, 4, 8, 8])
  }

  @Test("reproduces each step from its recorded input", arguments: ["pndm", "euler-a", "dpm++2m"])
  func again(scheduler: String) throws {
    let sampler = try Self.sampler()
    var request = SamplingRequest(prompt: "a red cat")
    request.steps = 5
    request.scheduler = scheduler
    let recorder = StepRecorder()
    let latents = try sampler.denoise(request, observer: recorder)
    let conditioning = try sampler.conditioning(for: request)
    for step in recorder.steps {
      let again = try sampler.predict(
        step.modelInput, timestep: step.timestep, conditioning: conditioning)
      #expect(again.guided == step.prediction.guided)
      #expect(step.after(again.guided) == step.after)
    }
    #expect(recorder.steps.last?.after == latents)
  }

  @Test("gives each image of a batch the same result as alone")
  func batches() throws {
    let sampler = try Self.sampler()
    var request = SamplingRequest(prompt: "a red cat")
    request.steps = 3
    request.count = 3
    let together = try sampler.denoise(request)
    var split = sampler
    split.latentPixelsPerCall = 2 * 8 * 8
    let recorder = StepRecorder()
    #expect(
      relativeError(try split.denoise(request, observer: recorder).values, together.values) < 1e-5)
    #expect(recorder.calls.prefix(2).map(\.images) == [0..<2, 2..<3])
    var noise = TorchGenerator(seed: 0)
    let latents = noise.randn([3, 4, 8, 8])
    for index in 0..<3 {
      request.count = 1
      request.latents = Tensor(
        shape: [1, 4, 8, 8], values: Array(latents.values[index * 256..<(index + 1) * 256]))
      let alone = try sampler.denoise(request)
      let slice = Array(together.values[index * 256..<(index + 1) * 256])
      #expect(relativeError(alone.values, slice) < 1e-5)
    }
  }

  @Test("reports progress over steps and images")
  func progress() throws {
    let sampler = try Self.sampler()
    var request = SamplingRequest(prompt: "a red cat")
    request.steps = 2
    request.count = 2
    request.scheduler = "ddim"
    var reported: [[Int]] = []
    let (latents, images) = try sampler.generate(request) { reported.append([$0, $1]) }
    #expect(reported == [[1, 4], [2, 4], [3, 4], [4, 4]])
    #expect(latents.shape == [2, 4, 8, 8] && images.count == 2)
    #expect(images[0].width == 64 && images[0] != images[1])
  }

  @Test("stops between U-Net calls when the task is cancelled")
  func cancellation() async throws {
    let sampler = try Self.sampler()
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      return try sampler.denoise(SamplingRequest(prompt: "a red cat"))
    }
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  @Test("records generation parameters")
  func parameters() throws {
    let sampler = try Self.sampler()
    var request = SamplingRequest(prompt: "a red cat")
    request.scheduler = "dpm++2m-karras"
    request.seed = 9
    request.count = 2
    let text = try sampler.parameters(for: request, image: 1, modelName: "tiny").text
    #expect(
      text == """
        a red cat
        Steps: 25, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 9, Size: 64x64, Model: tiny, \
        Batch size: 2, Batch pos: 1, Version: Decant
        """)
    request.scheduler = nil
    #expect(try sampler.parameters(for: request, image: 0, modelName: "").sampler == "PLMS")
  }

  // MARK: - Refusals

  @Test("refuses requests out of range with facts, and with remedies apart")
  func refusals() throws {
    let sampler = try Self.sampler()
    func sentence(_ change: (inout SamplingRequest) -> Void) -> String {
      var request = SamplingRequest(prompt: "a red cat")
      change(&request)
      do {
        _ = try sampler.denoise(request)
        return "not refused"
      } catch {
        return "\(error)"
      }
    }
    #expect(
      sentence { $0.width = 60 }
        == "an image size of 60x64 is not supported; expected multiples of 8 from 8 to 8192")
    #expect(
      sentence { $0.height = 0 }
        == "an image size of 64x0 is not supported; expected multiples of 8 from 8 to 8192")
    #expect(sentence { $0.width = Int.max }.hasPrefix("an image size of 9223372036854775807x64 "))
    #expect(sentence { $0.count = 0 } == "0 images at once are not supported; expected 1 to 1024")
    #expect(
      sentence { $0.guidanceScale = .infinity }
        == "the guidance scale is inf, expected a finite number")
    #expect(
      sentence { $0.latents = Tensor(zeros: [1, 4, 8, 9]) }
        == "the latents are [1, 4, 8, 9], expected [1, 4, 8, 8] for this size and count")
    #expect(sentence { $0.steps = 0 } == "PNDMScheduler cannot run 0 steps; expected 1 to 1000")
    #expect(
      sentence { $0.guidanceScale = 1e300 }
        == "the guidance scale is 1e+300, expected a finite number")
    #expect(
      sentence {
        $0.crop = Crop(top: 8, left: 0)
        $0.targetSize = ImageSize(width: 64, height: 64)
      }
        == "\(sampler.model.source.location) is Stable Diffusion 1.x of other sizes, which has no "
        + "conditioning on crop and target size")
    #expect(
      sentence { $0.originalSize = ImageSize(width: 64, height: 64) }.hasSuffix(
        "has no conditioning on original size"))
    #expect(sentence { $0.scheduler = "dpm_fast" }.hasPrefix("scheduler 'dpm_fast' is unknown"))
    func remedy(_ settings: [Setting]) -> Remedy? {
      SamplingError.noSizeConditioning(location: "a", family: "b", settings: settings).remedy
    }
    #expect(remedy([.crop]) == .leaveOut(.crop))
    #expect(remedy([.crop, .targetSize]) == .leaveOut(.crop, and: [.targetSize]))
    #expect(SamplingError.count(0).remedy == nil)
  }

  @Test("refuses a tokenizer whose sequences are too long for the text encoder")
  func textLength() throws {
    var source = try DiffusersFolderReader().read(
      fixture("golden/pipeline"), options: ReadOptions())
    let name = "tokenizer/tokenizer_config.json"
    source.files.removeAll { $0.path == name }
    source.files.append(
      ModelSource.File(path: name, bytes: ByteSlice([UInt8](#"{"model_max_length": 78}"#.utf8))))
    let model = try Model.bind(source)
    #expect(
      throws: SamplingError.textLength(
        location: source.location, tokenizer: 78, encoder: 77)
    ) { try Sampler(model) }
  }
}

/// Records every U-Net call and step of a run.
private final class StepRecorder: SamplingObserver {
  private let state = Mutex<(calls: [UNetCall], steps: [SamplingStep])>(([], []))
  let activations = InputRecorder()

  var calls: [UNetCall] { state.withLock { $0.calls } }
  var steps: [SamplingStep] { state.withLock { $0.steps } }

  func activationObserver(for call: UNetCall) -> (any ActivationObserver)? {
    state.withLock { $0.calls.append(call) }
    return activations
  }

  func didStep(_ step: SamplingStep) { state.withLock { $0.steps.append(step) } }
}

/// Records the shape of the last input of each layer.
private final class InputRecorder: ActivationObserver {
  private let shapes = Mutex<[String: Shape]>([:])

  var inputs: [String: Shape] { shapes.withLock { $0 } }

  func willRun(module name: String, input: Tensor) { shapes.withLock { $0[name] = input.shape } }
}

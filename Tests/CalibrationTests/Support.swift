import Calibration
import Checkpoints
import Models
import Quantization
import Sampling
import Support
import Tensors
import Testing

/// The module list of a U-Net of a convolution, a norm and a linear layer.
let modules: [ModuleSpec] = [
  module("conv_in", .convolution, [4, 3, 3, 3]),
  module("norm", .groupNorm, [4]),
  module("block.linear", .linear, [6, 5]),
]

func module(_ name: String, _ kind: ModuleSpec.Kind, _ shape: Shape) -> ModuleSpec {
  ModuleSpec(
    name: name, kind: kind, role: .linear, block: name,
    weight: TensorSpec(name: name + ".weight", shape: shape), bias: nil)
}

let size = ImageSize(width: 64, height: 64)
let settings = CalibrationSettings(
  steps: 3, scheduler: "ddim", guidanceScale: 7.5, sizes: [size])
let model = CalibratedModel(digest: "abc")

extension SamplerSubject {
  /// A subject with these settings and the defaults of others.
  init(
    _ sampler: Sampler, steps: Int = 20, scheduler: String? = nil, guidanceScale: Double = 7.5,
    size: ImageSize? = nil
  ) throws {
    var request = SamplingRequest(prompt: "")
    request.steps = steps
    request.scheduler = scheduler
    request.guidanceScale = guidanceScale
    request.setSize(size)
    try self.init(sampler, request)
  }
}

extension ModuleStatistics {
  /// Mean square of each channel over all bands of one branch; `nil` without inputs there.
  func meanSquares(of branch: GuidanceBranch) -> [Double]? {
    let cells = (0..<bands).map { $0 * GuidanceBranch.allCases.count + branch.rawValue }
    let count = cells.reduce(0.0) { $0 + Double(positions[$1]) }
    guard count > 0 else { return nil }
    return (0..<channels).map { channel in
      cells.reduce(0.0) { $0 + squareSums[$1 * channels + channel].value } / count
    }
  }
}

func run(_ prompt: String, seed: UInt64 = 0) -> CalibrationRun {
  CalibrationRun(prompt: prompt, negativePrompt: "", seed: seed, size: size)
}

let runs = [run("dog"), run("cat", seed: 1), run("cat"), run("bird"), run("fish")]

func calibrator(
  _ path: String, model: CalibratedModel = model, settings: CalibrationSettings = settings,
  modules: [ModuleSpec] = modules, bands: TimestepBands = TimestepBands(), replacing: Bool = false,
  resuming: Bool = false
) -> Calibrator {
  Calibrator(
    path: path, tool: "decant test", model: model, settings: settings, modules: modules,
    bands: bands, replacing: replacing, resuming: resuming)
}

/// A subject whose activations depend only on the run.
struct FakeSubject: CalibrationSubject {
  var callsPerRun: Int { 3 }
  /// Runs of this prompt are interrupted at their last call.
  var interruptedAt: String?

  func perform(_ run: CalibrationRun, observedBy collector: StatisticsCollector) throws
    -> [ReferenceCall]
  {
    var state = run.prompt.utf8.reduce(run.seed &* 77 &+ 1) { $0 &* 31 &+ UInt64($1) }
    func numbers(_ shape: Shape) -> Tensor {
      Tensor(
        shape: shape,
        values: (0..<shape.count).map { _ in
          state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
          return Float(Int64(bitPattern: state) >> 40) / 0x1p20
        })
    }
    var calls: [ReferenceCall] = []
    for call in 0..<3 {
      if call == 2, run.prompt == interruptedAt { throw CancellationError() }
      collector.begin(
        timestep: Double(900 - 400 * call), branches: [.unconditional, .conditional])
      collector.willRun(module: "conv_in", input: numbers([2, 3, 4, 4]))
      collector.willRun(module: "block.linear", input: numbers([14, 5]))
      calls.append(
        ReferenceCall(
          run: run, step: call, timestep: Float(900 - 400 * call), input: numbers([1, 3, 4, 4]),
          unconditional: call == 1 ? nil : numbers([1, 2, 4, 4]),
          conditional: numbers([1, 2, 4, 4])))
    }
    return calls
  }
}

func bytes(_ path: String) throws -> [UInt8] { try ByteSlice.mapping(path).array }

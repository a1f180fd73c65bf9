import ModelSources
import Models
import Quantization
import Tensors
import Testing

/// Plans for layouts that have other encodings, and not for every tensor.
struct PlanFittingTests {
  /// A layout that has 8-bit codes in groups of 32 for matrices, and no 4-bit ones.
  private struct Writer: ModelWriter {
    var name: String { "test" }
    var layout: String { "test file" }
    func claims(_ path: String) -> Bool { false }

    func accepted(_ encoding: TensorEncoding, options: WriteOptions) -> TensorEncoding? {
      switch encoding.name {
      case "int8": TensorEncoding(name: "int8-g32")
      case "f16", "f32": encoding
      default: nil
      }
    }

    func holds(
      _ entry: TensorEntry, of tensor: String, in component: String, options: WriteOptions
    ) -> Bool { entry.shape.rank == 2 && component == "unet" }

    func write(
      _ model: ModelSource, to path: String, replacing: Bool, options: WriteOptions,
      progress: (_ done: Int, _ total: Int) -> Void
    ) {}
  }

  private func plan(_ type: String) throws -> QuantizationPlan {
    let modules = [
      ("a", ModuleSpec.Kind.linear, [4, 64] as Shape),
      ("b", .convolution, [4, 64, 3, 3]), ("norm", .groupNorm, [4]),
    ].map { name, kind, shape in
      ModuleSpec(
        name: name, kind: kind, role: kind == .linear ? .linear : .convolution, block: name,
        weight: TensorSpec(name: name + ".weight", shape: shape), bias: nil)
    }
    let scheme = try #require(Schemes.named(type))
    return try QuantizationPlan(modules: modules, choices: .init(scheme: scheme))
  }

  private func fitted(_ plan: QuantizationPlan) throws(PlanFitError) -> QuantizationPlan {
    try plan.fitting(
      Writer(), options: WriteOptions(), component: "unet",
      rest: Schemes.named("f16") ?? PlainScheme.all[0], reason: "no room")
  }

  @Test func tensorsGetTheNearestOrTheRest() throws {
    let entries = try fitted(try plan("int8")).entries
    #expect(entries.map(\.scheme.name) == ["int8-g32", "f16", "f16"])
    #expect(entries[0].reason == "linear layer")
    #expect(entries[1].reason == "no room")
    #expect(try fitted(try plan("int8"))["a.weight"]?.scheme.name == "int8-g32")
  }

  @Test func plainPlansStayAsTheyAre() throws {
    let plan = try plan("f16")
    #expect(try fitted(plan).entries.map(\.reason) == plan.entries.map(\.reason))
  }

  @Test func whatHasNothingNearIsRefused() throws {
    let plan = try plan("int4-g64")
    let error = try #require(throws: PlanFitError.self) { _ = try fitted(plan) }
    #expect(error.description == "a test file cannot hold int4-g64 weights")
  }
}

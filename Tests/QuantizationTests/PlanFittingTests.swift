import ModelSources
import Models
import Quantization
import Tensors
import Testing

/// Fits plans to programs with other encodings, which they do not read for every tensor.
struct PlanFittingTests {
  /// A program that reads 8-bit codes in groups of 32 for matrices, and no 4-bit codes.
  private struct Profile: OutputProfile {
    var name: String { "test" }
    var title: String { "Test" }
    var container: String { "test" }

    func accepted(_ encoding: TensorEncoding) -> TensorEncoding? {
      switch encoding.name {
      case "int8": TensorEncoding(name: "int8-g32")
      case "f16", "f32": encoding
      default: nil
      }
    }

    func holds(_ entry: TensorEntry, of tensor: String, in component: String) -> Bool {
      entry.shape.rank == 2 && component == "unet"
    }

    /// One convolution is read in rows.
    func substitute(
      for entry: TensorEntry, of tensor: String, in component: String
    ) -> TensorEncoding? { tensor == "c.weight" ? .int8 : nil }
  }

  private func plan(_ type: String) throws -> QuantizationPlan {
    let modules = [
      ("a", ModuleSpec.Kind.linear, [4, 64] as Shape),
      ("b", .convolution, [4, 64, 3, 3]), ("c", .convolution, [4, 64, 3, 3]),
      ("norm", .groupNorm, [4]),
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
      Profile(), layout: "test file", component: "unet",
      rest: Schemes.named("f16") ?? PlainScheme.all[0], reason: "not quantized")
  }

  @Test func tensorsGetTheNearestEncodingOrTheRest() throws {
    let entries = try fitted(try plan("int8")).entries
    #expect(entries.map(\.scheme.name) == ["int8-g32", "f16", "int8", "f16"])
    #expect(entries[0].reason == "linear layer")
    #expect(entries[1].reason == "not quantized")
    #expect(entries[2].reason == "convolution; Test does not read it as int8-g32")
    #expect(try fitted(try plan("int8"))["a.weight"]?.scheme.name == "int8-g32")
  }

  @Test func plainPlansDoNotChange() throws {
    let plan = try plan("f16")
    #expect(try fitted(plan).entries.map(\.reason) == plan.entries.map(\.reason))
  }

  @Test func encodingsWithoutANearOneAreRefused() throws {
    let plan = try plan("int4-g64")
    let error = try #require(throws: PlanFitError.self) { _ = try fitted(plan) }
    #expect(error.description == "a test file cannot hold int4-g64 weights")
    let other = PlanFitError(scheme: "int8", layout: "test file", component: "text_encoder")
    #expect(
      other.description == "a test file cannot hold int8 weights of component 'text_encoder'")
    let unread = UnreadTensor(component: "vae", tensor: "a.weight", encoding: .float8)
    #expect(
      PlanFitError(unread, layout: "test file").description
        == "a test file cannot hold fp8 weights, such as tensor 'a.weight' of component 'vae'")
  }
}

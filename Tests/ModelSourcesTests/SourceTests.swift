import ModelSources
import Support
import Tensors
import TestSupport
import Testing

/// The error of every reader for a variant that the model does not have.
struct VariantErrorTests {
  @Test func statesTheVariantsThatThereAre() {
    let none = VariantError(path: "m", variant: "fp16\n")
    #expect(none.description == "m: no variant 'fp16\\u{a}'; there are no variants")
    #expect(none.remedy == .leaveOut(.variant))
    let some = VariantError(
      path: "m/unet", component: "unet", variant: "fp16", known: ["non_ema", "bf16", "non_ema"])
    #expect(
      some.description
        == "m/unet: no variant 'fp16' of component 'unet'; expected bf16 or non_ema")
    #expect(some.remedy == .choose(.variant, ["bf16", "non_ema"]))
  }
}

/// Sources in memory, and the components and files of a model source.
struct SourceTests {
  static let memory = MemorySource(
    location: "memory",
    [
      ("b", StoredTensor(shape: [2], floats: [1, 2])),
      ("a", StoredTensor(shape: [1, 3], floats: [1, 2, 3], as: .f16)),
    ])

  @Test func memoryKeepsTheOrderOfItsTensors() throws {
    #expect(Self.memory.names == ["b", "a"])
    #expect(Self.memory.entry("a") == TensorEntry(shape: [1, 3], encoding: .plain(.f16)))
    #expect(Self.memory.entry("c") == nil)
    #expect(try Self.memory.tensor("a").floats() == [1, 2, 3])
    #expect(Self.memory.parameterCount == 5)
    #expect(Self.memory.byteCount == 14)
  }

  @Test func reducedSourcesLackSomeTensors() throws {
    let reduced = ReducedSource(Self.memory, without: ["b", "c"])
    #expect(reduced.names == ["a"])
    #expect(reduced.entry("b") == nil && reduced.entry("a") == Self.memory.entry("a"))
    #expect(try reduced.tensor("a").floats() == [1, 2, 3])
    let error = WeightError(location: "memory", tensor: "b", found: "no tensor has this name")
    #expect(throws: error) { try reduced.tensor("b") }
    #expect(
      ReducedSource(PrefixedInFile(base: Self.memory), without: ["b"]).storedName("a") == "file.a")
  }

  @Test func absentTensorsAreNamed() {
    let error = WeightError(location: "memory", tensor: "c", found: "no tensor has this name")
    #expect(throws: error) { try Self.memory.tensor("c") }
    #expect(error.description == "memory: tensor 'c': no tensor has this name")
  }

  @Test func componentsAreFoundReplacedAddedAndRemoved() {
    func component(_ name: String, _ className: String) -> ModelSource.Component {
      ModelSource.Component(name: name, className: className, config: [:], weights: Self.memory)
    }
    var model = ModelSource(
      location: "here", layout: "test", index: [:],
      components: [component("unet", "A"), component("vae", "B")], scheduler: nil,
      files: [ModelSource.File(path: "tokenizer/vocab.json", bytes: ByteSlice([1] as [UInt8]))])
    model["unet"] = component("unet", "C")
    model["text_encoder"] = component("text_encoder", "D")
    model["vae"] = nil
    model["absent"] = nil
    #expect(model.components.map(\.className) == ["C", "D"])
    #expect(model["unet"]?.className == "C" && model["vae"] == nil)
    #expect(model.file("tokenizer/vocab.json")?.array == [1])
    #expect(model.file("tokenizer/merges.txt") == nil)
    #expect(ReadOptions() == ReadOptions(variant: nil))
  }
}

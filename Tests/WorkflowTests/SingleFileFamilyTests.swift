import Checkpoints
import Foundation
import ModelSources
import Models
import Support
import Tensors
import TestSupport
import Testing

/// Single files of every family at full size, read from names and shapes alone.
@Suite struct SingleFileFamilyTests {
  static let families = Family.all.filter { $0.template != nil }.map(\.name)

  /// Families that single files cannot tell from the family named beside them: their tensors are
  /// equal.
  static let twins = [
    "sd-v1-5": "sd-v1-4", "segmind-small-sd": "bk-sdm-base", "segmind-tiny-sd": "bk-sdm-tiny",
    "sd-v2-1": "sd-v2-1-base", "sd-turbo": "sd-v2-1-base", "sdxl-turbo": "sdxl-base-1.0",
  ]

  /// The tensors of a full-size model with the names of a single file. Their values are not
  /// computed.
  private func archive(_ family: String, _ numbering: String) throws -> Archive {
    let family = try #require(Family.named(family))
    let model = try #require(try family.synthesize(seed: 0, kind: .f16))
    let sources = try CheckpointWriter().profiles[0].tensors(
      of: model, options: WriteOptions(numbering: BlockNumbering(rawValue: numbering)))
    return Archive(weights: JoinedSource(sources: sources), kind: "safetensors file")
  }

  @Test(arguments: families, ["dense", "gap"])
  func namesAndShapesDetermineTheModel(name: String, numbering: String) throws {
    let source = try SingleFileReader().model(
      of: WithoutVelocity.archive(try archive(name, numbering)), path: "model.safetensors")
    let model = try Model.bind(source)
    #expect(model.family.name == Self.twins[name] ?? name)
    let family = try #require(Family.named(name))
    let original = try #require(try family.synthesize(seed: 0, kind: .f16))
    for component in original.components {
      let found = try #require(source[component.name])
      #expect(found.className == component.className)
      #expect(Set(found.weights.names) == Set(component.weights.names))
      for tensor in component.weights.names {
        #expect(found.weights.entry(tensor) == component.weights.entry(tensor), "\(tensor)")
      }
    }
  }

  /// Without the metadata that Decant writes, every program's layout shows the same facts: configs,
  /// pipeline class, scheduler and prediction type. A U-Net alone shows those of the U-Net.
  @Test(arguments: families, [false, true])
  func everyLayoutShowsTheSameFacts(name: String, isVelocity: Bool) throws {
    let family = try #require(Family.named(name))
    var model = try #require(try family.synthesize(seed: 0, kind: .f16))
    if isVelocity {
      // Only SDXL has marks for it.
      guard family.architecture.hasAddedEmbedding else { return }
      model.scheduler?["prediction_type"] = "v_prediction"
      model.scheduler?["rescale_betas_zero_snr"] = true
    }
    func read(_ profile: any OutputProfile) throws -> ModelSource {
      let sources = try profile.tensors(of: profile.fitted(model), options: WriteOptions())
      let archive = Archive(weights: JoinedSource(sources: sources), kind: "safetensors file")
      return try SingleFileReader().model(of: WithoutVelocity.archive(archive), path: "m")
    }
    let expected = try read(CheckpointWriter().profiles[0])
    #expect(
      expected.scheduler?["prediction_type"] == (isVelocity ? "v_prediction" : "epsilon"))
    #expect(expected.scheduler?["rescale_betas_zero_snr"] == (isVelocity ? true : nil))
    let profiles = [CheckpointWriter().profiles, GGUFWriter().profiles].joined()
    for profile in profiles where profile.refusal(model) == nil {
      let found = try read(profile)
      #expect(found.scheduler == expected.scheduler, "\(profile.name)")
      #expect(found.index == expected.index, "\(profile.name)")
      #expect(found.prediction?.type == expected.prediction?.type)
      #expect(found.prediction?.isCertain == expected.prediction?.isCertain)
      for component in found.components {
        #expect(component.config == expected[component.name]?.config, "\(component.name)")
      }
    }
  }

  /// Training code stores the names of moving averages without dots, which the reader restores.
  @Test(arguments: families)
  func aMovingAverageAlone(name: String) throws {
    let whole = WithoutVelocity.archive(try archive(name, "dense"))
    let prefix = "model.diffusion_model."
    let averaged = Archive(
      weights: Renamed(whole.weights) { name in
        name.hasPrefix(prefix)
          ? "model_ema.diffusion_model" + name.dropFirst(prefix.count).filter { $0 != "." } : name
      }, kind: whole.kind)
    let reader = SingleFileReader()
    let plain = try reader.model(of: whole, path: "model.safetensors")
    let source = try reader.model(
      of: averaged, path: "model.safetensors", options: ReadOptions(ema: true))
    #expect(source.movingAverage == .readWithoutOthers)
    for component in plain.components {
      let found = try #require(source[component.name])
      #expect(Set(found.weights.names) == Set(component.weights.names))
      #expect(found.config == component.config)
    }
    // Without the moving average there is no U-Net, and the error says why.
    let rest = try reader.model(of: averaged, path: "model.safetensors")
    #expect(rest.movingAverage == .ignoredWithoutOthers && rest["unet"] == nil)
    let error = #expect(throws: BindingError.self) { try Model.bind(rest) }
    #expect(error?.description.hasSuffix("a moving average of the unet") == true)
    #expect(error?.remedy == .choose(.ema, purpose: "to read the moving average"))
  }

  /// Tensor names of published maps, where the two numberings differ.
  @Test(arguments: [
    ("bk-sdm-tiny", "gap", "output_blocks.2.1.conv.weight"),
    ("bk-sdm-tiny", "gap", "output_blocks.5.2.conv.weight"),
    ("bk-sdm-tiny", "gap", "input_blocks.3.0.op.weight"),
    ("bk-sdm-tiny", "gap", "output_blocks.7.1.norm.weight"),
    ("bk-sdm-tiny", "dense", "output_blocks.1.2.conv.weight"),
    ("bk-sdm-tiny", "dense", "input_blocks.2.0.op.weight"),
    ("bk-sdm-base", "gap", "output_blocks.2.1.conv.weight"),
    ("bk-sdm-base", "gap", "output_blocks.8.2.conv.weight"),
    ("bk-sdm-base", "dense", "output_blocks.1.1.conv.weight"),
    ("sd-v1-5", "dense", "output_blocks.2.1.conv.weight"),
    ("sd-v1-5", "gap", "output_blocks.5.2.conv.weight"),
    ("ssd-1b", "dense", "output_blocks.2.2.conv.weight"),
    ("sdxl-base-1.0", "dense", "label_emb.0.0.weight"),
    ("lcm-dreamshaper-v7", "dense", "time_embedding.cond_proj.weight"),
  ]) func blocksAreNumbered(family: String, numbering: String, name: String) throws {
    let names = try archive(family, numbering).weights.names
    #expect(names.contains("model.diffusion_model." + name))
  }

  @Test func aModelHasAsManyTensorsAsThePublishedOne() throws {
    #expect(try archive("sdxl-base-1.0", "dense").weights.names.count == 2513)
    #expect(try archive("sd-v1-5", "dense").weights.names.count == 686 + 248 + 196)
  }
}

/// The union of several sources.
struct JoinedSource: WeightSource {
  let sources: [any WeightSource]

  var location: String { "joined" }
  var names: [String] { sources.flatMap(\.names) }

  func entry(_ name: String) -> TensorEntry? {
    sources.lazy.compactMap { $0.entry(name) }.first
  }

  func tensor(_ name: String) throws -> StoredTensor {
    for source in sources where source.entry(name) != nil { return try source.tensor(name) }
    throw WeightError(location: location, tensor: name, found: "nothing of that name")
  }
}

/// An archive of zeros. The statistic that distinguishes Stable Diffusion 2.1 from 2.1 base then
/// shows base.
private enum WithoutVelocity {
  static func archive(_ archive: Archive) -> Archive {
    Archive(weights: Source(base: archive.weights), kind: archive.kind)
  }

  struct Source: WeightSource {
    let base: any WeightSource
    var location: String { base.location }
    var names: [String] { base.names }
    func entry(_ name: String) -> TensorEntry? { base.entry(name) }

    func tensor(_ name: String) throws -> StoredTensor {
      let entry = try #require(base.entry(name))
      guard case .plain(let kind) = entry.encoding else { return try base.tensor(name) }
      let bytes = try #require(kind.byteCount(of: entry.shape.count))
      return StoredTensor(
        shape: entry.shape, encoding: entry.encoding,
        parts: [ByteSlice([UInt8](repeating: 0, count: bytes))])
    }
  }
}

/// A source with other tensor names.
private struct Renamed: WeightSource {
  private let base: any WeightSource
  private let origins: [String: String]
  let names: [String]

  init(_ base: any WeightSource, _ rename: (String) -> String) {
    self.base = base
    names = base.names.map(rename)
    origins = Dictionary(zip(names, base.names)) { first, _ in first }
  }

  var location: String { base.location }
  func entry(_ name: String) -> TensorEntry? { origins[name].flatMap(base.entry) }
  func tensor(_ name: String) throws -> StoredTensor {
    guard let origin = origins[name] else { throw absent(name) }
    return try base.tensor(origin)
  }
}

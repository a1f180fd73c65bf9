package import ModelSources
package import Models
import Support
package import Tensors

/// The tokenizer of the random test pipeline, for both text encoders. Its vocabulary is small
/// enough for narrow models.
package func smallTokenizer() throws -> (files: [ModelSource.File], vocabulary: Int) {
  let names = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"]
  let files = try ["tokenizer", "tokenizer_2"].flatMap { folder in
    try names.map { name in
      ModelSource.File(
        path: "\(folder)/\(name)",
        bytes: try ByteSlice.mapping(fixture("golden/pipeline/tokenizer/" + name)))
    }
  }
  let words = files[0].bytes
  let vocabulary = try JSONValue(parsing: words.bytes).object?.members.count ?? 0
  return (files, vocabulary)
}

extension Family {
  /// A model with the published topology of the family, random weights, a tenth of the width, and
  /// few text layers. It is small enough to write, read and run in a test.
  ///
  /// - Parameters:
  ///   - vocabulary: the number of tokens of the text encoders; `nil` means that of CLIP.
  ///   - files: the files of a tokenizer, if the model is sampled. The family's own files take
  ///     precedence.
  /// - Returns: `nil` for a family without a published config.
  package func narrowed(
    seed: UInt64 = 1, kind: ElementKind = .f32, vocabulary: Int? = nil,
    files: [ModelSource.File] = []
  ) throws -> ModelSource? {
    guard let whole = try synthesize(seed: seed, kind: kind) else { return nil }
    var model = whole
    let others = files.filter { file in !whole.files.contains { $0.path == file.path } }
    model.files = (whole.files + others).sorted { $0.path < $1.path }
    for index in model.components.indices {
      let component = model.components[index]
      let config = narrow(component.config, of: component.name, vocabulary: vocabulary)
      model.components[index].config = config
      let modules = try model.components[index].modules(in: name) ?? []
      model.components[index].weights = RandomWeights(
        location: "narrow \(name)/\(component.name)", modules: modules, kind: kind, seed: seed)
    }
    return model
  }
}

private func narrow(
  _ config: JSONObject, of component: String, vocabulary: Int?
) -> JSONObject {
  var config = config
  /// Divides a member that is a number or a list of numbers.
  func divide(_ member: String, by divisor: Int) {
    if let number = config[member]?.integer { config[member] = .integer(number / divisor) }
    if let list = config[member]?.array {
      config[member] = .array(list.map { .integer(($0.integer ?? 0) / divisor) })
    }
  }
  switch component {
  case "unet":
    // The largest divisor that leaves multiples of 16: 320, 640, 1280 become 32, 64, 128; the
    // refiner's 384, 768, 1536 become 48, 96, 192.
    let widths = (config["block_out_channels"]?.array ?? []).compactMap(\.integer)
    let divisor = (1...10).last { number in widths.allSatisfy { $0 % (16 * number) == 0 } }
    divide("block_out_channels", by: divisor ?? 1)
    config["norm_num_groups"] = 16
    // A list of head counts is for heads of 64 channels, which become 16. SD 1 has 8 heads
    // everywhere.
    if config["attention_head_dim"]?.array != nil {
      config["attention_head_dim"] = .array(
        (config["block_out_channels"]?.array ?? []).map { .integer(($0.integer ?? 16) / 16) })
    }
    divide("cross_attention_dim", by: textDivisor)
    if let inputs = config["projection_class_embeddings_input_dim"]?.integer {
      // The pooled text has 1280 features. Each number has 256 sines, which become 8.
      config["projection_class_embeddings_input_dim"] = .integer(
        1280 / textDivisor + (inputs - 1280) / 256 * 8)
      config["addition_time_embed_dim"] = 8
    }
    config["sample_size"] = 8
  case "vae":
    divide("block_out_channels", by: 8)
    config["norm_num_groups"] = 8
    config["sample_size"] = 64
  default:
    for member in ["hidden_size", "intermediate_size", "projection_dim"] {
      divide(member, by: textDivisor)
    }
    config["num_hidden_layers"] = 3
    if let vocabulary { config["vocab_size"] = .integer(vocabulary) }
  }
  return config
}

/// The divisor of the text width: heads of 64 channels become heads of 4.
private let textDivisor = 16

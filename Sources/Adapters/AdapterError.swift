package import Formats
package import ModelSources
package import Support
package import Tensors

/// Why a file of adapters cannot be merged into a model.
package enum AdapterError: RemediableError, Equatable {
  /// No tensor of the file belongs to an adapter.
  ///
  /// - Parameter kind: what the file is, such as a ControlNet, where its tensors show that.
  case notAnAdapter(path: String, kind: ForeignKind?, tensors: [String])
  /// An adapter of a kind that Decant does not merge.
  case unsupported(path: String, kind: String, tensor: String)
  /// A module with tensors of more than one kind.
  case severalKinds(path: String, module: String, kinds: [String])
  /// Adapters for modules that the model does not have.
  case unused(path: String, model: String, modules: [String])
  /// An adapter that fits other families than that of the model.
  ///
  /// - Parameters:
  ///   - title: the title of the model's family.
  ///   - fitting: the number of modules that fit the model, of `modules` in the file.
  ///   - difference: why the other modules do not fit.
  case otherFamily(
    path: String, families: [String], model: String, title: String, fitting: Int, modules: Int,
    difference: Difference)
  /// An adapter for a model that is not a Stable Diffusion model, such as Flux.
  case foreign(path: String, kind: String, model: String, modules: [String])
  /// Two tensors for the same part of a module.
  case ambiguous(path: String, module: String, names: [String])
  /// Tensors that belong to no kind of adapter.
  case unknownTensors(path: String, tensors: [String])
  /// A method of PEFT that Decant does not merge.
  case method(path: String, found: String, known: [String])
  /// A module with tensors of another kind than PEFT's method.
  case methodOfOthers(path: String, found: String, module: String, kind: String)
  /// The settings of the adapter cannot be read.
  case settings(path: String, found: String, expected: String = "a JSON object")
  /// A pattern for names of modules in the settings that cannot be matched.
  case pattern(path: String, pattern: String, fault: String)
  case missing(path: String, module: String, part: AdapterPart)
  /// A module whose tensors belong to none of the kinds.
  case incomplete(path: String, module: String, tensors: [String], kinds: [String])
  case misshapen(path: String, tensor: String, found: Shape, expected: String)
  case nonfinite(path: String, tensor: String)
  /// The model's weights are quantized, so that nothing can be added to them.
  case quantized(path: String, tensor: String, encoding: String)
  /// Changes of biases of layers that have no bias in the model.
  case biases(path: String, model: String, tensors: [String])
  /// The sum is too large for the type of the tensor.
  case overflow(paths: [String], tensor: String, largest: Float, kind: String)
  /// A folder that holds no adapter file, or more than one.
  case folder(path: String, found: [String])

  /// How an adapter and a model of another family differ.
  package enum Difference: Equatable, Sendable {
    /// The model lacks modules.
    case absent(modules: [String])
    /// A tensor of the adapter has another shape than the model's module needs.
    case shape(tensor: String, found: Shape, expected: String)
  }

  package var description: String {
    switch self {
    case .notAnAdapter(let path, let kind?, _):
      "\(path): is \(kind.description), expected LoRA or another adapter"
    case .notAnAdapter(let path, nil, let tensors):
      "\(path): holds no adapter, but \(listed(tensors, limit: Self.shortList))"
    case .unsupported(let path, let kind, let tensor):
      "\(path): tensor '\(shown(tensor))' is of \(kind), which Decant does not merge"
    case .severalKinds(let path, let module, let kinds):
      "\(path): module '\(shown(module))' has tensors of \(listed(kinds)), expected one kind"
    case .unused(let path, let model, let modules):
      "\(path): adapts \(counted(modules.count, "module")) that \(model) does not have: "
        + "\(listed(modules)); it was made for another model"
    case .otherFamily(
      let path, let families, let model, let title, let fitting, let modules, let difference):
      "\(path): was made for \(alternatives(families, limit: Self.shortList)); \(model) is "
        + "\(title) and fits \(fitting) of \(counted(modules, "module")): "
        + difference.description
    case .foreign(let path, let kind, let model, let modules):
      "\(path): was made for \(kind); \(model) has none of its modules: "
        + listed(modules, limit: Self.shortList)
    case .ambiguous(let path, let module, let names):
      "\(path): module '\(shown(module))' has two tensors for the same part: \(listed(names))"
    case .unknownTensors(let path, let tensors):
      "\(path): holds \(counted(tensors.count, "tensor")) that "
        + "\(tensors.count == 1 ? "belongs" : "belong") to no known adapter: "
        + listed(tensors)
    case .method(let path, let found, let known):
      "\(path): the peft_type is '\(shown(found))', expected \(alternatives(known))"
    case .methodOfOthers(let path, let found, let module, let kind):
      "\(path): the peft_type is '\(shown(found))', but module '\(shown(module))' has the tensors "
        + "of \(kind)"
    case .settings(let path, let found, let expected):
      "\(path): \(found), expected \(expected)"
    case .pattern(let path, let pattern, let fault):
      "\(path): the pattern '\(shown(pattern))' \(fault)"
    case .missing(let path, let module, let part):
      "\(path): module '\(shown(module))' has no '\(part.rawValue)'"
    case .incomplete(let path, let module, let tensors, let kinds):
      "\(path): module '\(shown(module))' has only \(listed(tensors)), expected the tensors of "
        + alternatives(kinds)
    case .misshapen(let path, let tensor, let found, let expected):
      "\(path): tensor '\(shown(tensor))' is \(found), expected \(expected)"
    case .nonfinite(let path, let tensor):
      "\(path): tensor '\(shown(tensor))' holds NaN or infinite numbers; its training failed"
    case .quantized(let path, let tensor, let encoding):
      "\(path): tensor '\(tensor)' is \(encoding), expected floating-point weights"
    case .biases(let path, let model, let tensors):
      "\(path): changes \(tensors.count == 1 ? "the bias" : "biases") of "
        + "\(counted(tensors.count, "layer")) that \(tensors.count == 1 ? "has" : "have") none in "
        + "\(model): \(listed(tensors))"
    case .overflow(let paths, let tensor, let largest, let kind):
      "\(listed(paths)): merged, the model's tensor '\(tensor)' holds \(largest), more than \(kind) "
        + "can store"
    case .folder(let path, let found):
      "\(path): holds \(listed(found)), expected one file of "
        + AdapterKeys.fileStems.map { $0 + ".safetensors" }.joined(separator: " or ")
    }
  }

  /// The remedy for an adapter of a kind that Decant does not merge.
  package static let mergeElsewhere = Remedy.act(
    "merge it with the program that made it, and read the merged model")

  private static let mergeIntoOther = "merge it into a model that it was made for"

  /// The most names where a message has more facts than the list.
  fileprivate static let shortList = 3

  package var remedy: Remedy? {
    switch self {
    case .notAnAdapter(_, let kind?, _) where kind.isBesideModel: .act(kind.remedy)
    case .notAnAdapter: .act("name a file of LoRA or another adapter")
    case .unsupported, .severalKinds, .method: Self.mergeElsewhere
    case .unused, .unknownTensors, .biases: .choose(.allowUnused, purpose: "to merge the rest")
    case .otherFamily(_, _, _, _, let fitting, _, .absent) where fitting > 0:
      .either([.act(Self.mergeIntoOther), .choose(.allowUnused, purpose: "to merge the rest")])
    case .otherFamily, .foreign: .act(Self.mergeIntoOther)
    case .pattern: .act("replace it with module names")
    case .ambiguous: .act("keep one of them in the file")
    case .quantized: .act("merge into the original model, and quantize after that")
    case .overflow(let paths, _, _, let kind):
      Self.wider(than: kind).isEmpty
        ? .reduceScale(adapter: paths[0])
        : .either([.reduceScale(adapter: paths[0]), .choose(.type, Self.wider(than: kind))])
    case .folder: .act("name the file itself")
    default: nil
    }
  }

  /// The types that store larger numbers than the type of this name, for a tensor that overflows it.
  private static func wider(than kind: String) -> [String] {
    let types: [ElementKind] = [.f32, .bf16, .f16]
    let names = types.map { TensorEncoding.plain($0).name }
    return Array(names.prefix { $0 != kind }.prefix(2))
  }
}

extension AdapterError.Difference: CustomStringConvertible {
  package var description: String {
    switch self {
    case .absent(let modules): "it lacks \(listed(modules, limit: AdapterError.shortList))"
    case .shape(let tensor, let found, let expected):
      "tensor '\(shown(tensor))' is \(found), expected \(expected)"
    }
  }
}

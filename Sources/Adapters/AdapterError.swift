package import Formats
internal import Support
package import Tensors

/// Why a file of adapters cannot be merged into a model.
package enum AdapterError: Error, Equatable, CustomStringConvertible {
  /// No tensor of the file is of any kind of adapter.
  case notAnAdapter(path: String, examples: [String])
  /// An adapter that changes weights in a way that is not merged here.
  case unsupported(path: String, kind: String, tensor: String)
  /// Tensors for modules that the model has not.
  case unused(path: String, model: String, modules: [String])
  /// Tensors that no kind of adapter has.
  case strays(path: String, tensors: [String])
  /// A method of PEFT that is not merged.
  case method(path: String, found: String, known: [String])
  /// A module whose tensors are of another kind than PEFT's method.
  case methodOfOthers(path: String, found: String, module: String, kind: String)
  /// What stands beside the tensors cannot be read.
  case settings(path: String, found: String)
  case missing(path: String, module: String, part: AdapterPart)
  case misshapen(path: String, tensor: String, found: Shape, expected: String)
  case nonfinite(path: String, tensor: String)
  /// The model's weights are integer codes, which nothing can be added to.
  case quantized(path: String, tensor: String, encoding: String)
  /// Changes of biases, of layers that have none in the model.
  case biases(path: String, model: String, tensors: [String])
  /// The sum is beyond what the tensor is stored in.
  case overflow(paths: [String], tensor: String, largest: Float, kind: String)
  /// A folder that holds no adapters, or several.
  case folder(path: String, found: [String])

  package var description: String {
    switch self {
    case .notAnAdapter(let path, let examples):
      "\(path): holds no low-rank adapters; it holds \(listed(examples))"
    case .unsupported(let path, let kind, let tensor):
      "\(path): tensor '\(shown(tensor))' is of \(kind), which is not merged; merge it with the "
        + "program that made it"
    case .unused(let path, let model, let modules):
      "\(path): adapts \(counted(modules.count, "module")) that \(model) does not have: "
        + "\(listed(Array(modules.prefix(8))))\(modules.count > 8 ? ", …" : ""); it was made for "
        + "another model; pass --allow-unused to merge the rest"
    case .strays(let path, let tensors):
      "\(path): holds \(counted(tensors.count, "tensor")) that \(tensors.count == 1 ? "is" : "are") no part of an adapter known here: "
        + "\(listed(Array(tensors.prefix(8))))\(tensors.count > 8 ? ", …" : ""); pass --allow-unused "
        + "to merge the rest"
    case .method(let path, let found, let known):
      "\(path): adapters of the peft_type '\(shown(found))' are not merged, only \(listed(known)); "
        + "merge them with the program that made them"
    case .methodOfOthers(let path, let found, let module, let kind):
      "\(path): the peft_type is '\(shown(found))', but module '\(shown(module))' has the tensors "
        + "of \(kind)"
    case .settings(let path, let found):
      "\(path): \(found) where the settings of an adapter are expected"
    case .missing(let path, let module, let part):
      "\(path): module '\(shown(module))' has no '\(part.rawValue)'"
    case .misshapen(let path, let tensor, let found, let expected):
      "\(path): tensor '\(shown(tensor))' is \(found), expected \(expected)"
    case .nonfinite(let path, let tensor):
      "\(path): tensor '\(shown(tensor))' holds NaN or infinite numbers; its training failed"
    case .quantized(let path, let tensor, let encoding):
      "\(path): tensor '\(tensor)' is \(encoding), which no adapter can be added to; merge into the "
        + "model that it was made from, and quantize after"
    case .biases(let path, let model, let tensors):
      "\(path): changes \(tensors.count == 1 ? "the bias" : "biases") of "
        + "\(counted(tensors.count, "layer")) that \(tensors.count == 1 ? "has" : "have") none in "
        + "\(model): \(listed(Array(tensors.prefix(8))))\(tensors.count > 8 ? ", …" : ""); pass "
        + "--allow-unused to merge the rest"
    case .overflow(let paths, let tensor, let largest, let kind):
      "\(listed(paths)): merged, the model's tensor '\(tensor)' holds \(largest), more than \(kind) "
        + "can store; use a smaller scale, as \(paths[0]):0.5, or convert with --type f32 or bf16"
    case .folder(let path, let found):
      "\(path): holds \(listed(found)), one file of adapters is expected: "
        + "\(AdapterKeys.fileStems.map { $0 + ".safetensors" }.joined(separator: " or ")); name the "
        + "file itself"
    }
  }
}

internal import ModelSources
package import Support
package import Tensors

/// The reason why a single file cannot be read as a model, or a model cannot be written as one.
package enum SingleFileError: RemediableError, Equatable {
  /// No tensor of the file has a name of a Stable Diffusion model.
  case notAModel(path: String, kind: String, survey: TensorSurvey)
  /// The tensors of a component are below two prefixes. Each place states the prefix and the number of
  /// tensors.
  case divided(path: String, component: String, places: [String], example: String)
  /// The file holds a component twice, below two prefixes.
  case severalModels(path: String, component: String, places: [String])
  /// The file holds low-rank adapters.
  case adapter(path: String, examples: [String])
  /// No U-Net of diffusers has the blocks of this U-Net.
  case topology(path: String, part: String, found: String, expected: String)
  case missing(path: String, tensor: String)
  case misshapen(path: String, tensor: String, found: Shape, expected: String)
  /// Two tensors of the file map to one name.
  case collision(path: String, tensor: String, first: String, second: String)
  /// The moving average was requested, and the file has none.
  case noMovingAverage(path: String)
  /// The moving average lacks tensors of the U-Net, of which `missing` is the first.
  case incompleteAverage(path: String, found: Int, expected: Int, missing: String)
  /// The file has only a moving average, which was not requested.
  case averageAlone(path: String)
  /// The configs in the metadata, which an earlier Decant wrote, are damaged.
  case malformedConfig(path: String, found: String)
  /// A model trained with EDM's continuous noise, as a tensor shows.
  case continuousNoise(path: String, tensor: String)
  /// The model needs a feature that the sampler lacks.
  case unsupported(path: String, found: String)
  /// Single files cannot hold a component of that name.
  case unknownComponent(path: String, component: String)

  package var description: String {
    switch self {
    case .notAModel(let path, let kind, let survey):
      "\(path): a \(kind) "
        + (survey.foreignKind.map { "of \($0.description)" }
          ?? "without the tensors of a Stable Diffusion model")
        + "; it holds \(survey.contents)"
    case .divided(let path, let component, let places, let example):
      "\(path): the tensors of component '\(component)' are in two places, "
        + "\(places.joined(separator: " and ")), such as '\(shown(example))'; expected all below one "
        + "prefix"
    case .severalModels(let path, let component, let places):
      "\(path): holds the tensors of component '\(component)' twice, "
        + "\(places.joined(separator: " and ")); expected one model"
    case .adapter(let path, let examples):
      "\(path): holds low-rank adapters (\(listed(examples))), not a model"
    case .topology(let path, let part, let found, let expected):
      "\(path): \(part) has \(found), expected \(expected)"
    case .missing(let path, let tensor):
      "\(path): tensor '\(shown(tensor))' is missing"
    case .misshapen(let path, let tensor, let found, let expected):
      "\(path): tensor '\(shown(tensor))' is \(found), expected \(expected)"
    case .collision(let path, let tensor, let first, let second):
      "\(path): tensors '\(shown(first))' and '\(shown(second))' both map to '\(shown(tensor))', "
        + "expected one"
    case .noMovingAverage(let path):
      "\(path): holds no moving average of the weights (EMA)"
    case .incompleteAverage(let path, let found, let expected, let missing):
      "\(path): the moving average of the U-Net (EMA) is incomplete: it has \(found) of "
        + "\(expected) tensors, without '\(shown(missing))'"
    case .averageAlone(let path):
      "\(path): holds a moving average of a U-Net (EMA) and no other weights of it"
    case .malformedConfig(let path, let found):
      "\(path): the metadata's 'decant.config' is \(found)"
    case .continuousNoise(let path, let tensor):
      "\(path): tensor '\(shown(tensor))' marks a model trained with EDM's continuous noise, which "
        + "no scheduler supports"
    case .unsupported(let path, let found):
      "\(path): \(found)"
    case .unknownComponent(let path, let component):
      "\(path): a single-file checkpoint cannot hold component '\(shown(component))'"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .divided: .act("give all of its tensors the same prefix")
    case .severalModels: .act("save one of the models in a file of its own")
    case .adapter: .choose(.adapters, purpose: "to merge them into a model")
    case .noMovingAverage, .incompleteAverage: .leaveOut(.ema)
    case .averageAlone: .choose(.ema, purpose: "to read it")
    case .continuousNoise: .act("use the program that the model was made for")
    case .malformedConfig: .act("convert the model again")
    case .notAModel(_, _, let survey): survey.foreignKind.map { .act($0.remedy) }
    case .topology, .missing, .misshapen, .collision, .unsupported, .unknownComponent: nil
    }
  }
}

internal import Support
package import Tensors

/// Why a file of tensors is no model, or a model no single file.
package enum SingleFileError: Error, Equatable, CustomStringConvertible {
  /// Nothing in the file has a name that a Stable Diffusion model has.
  case notAModel(path: String, kind: String, survey: TensorSurvey)
  /// A file of low-rank adapters, which is merged into a model and is none itself.
  case adapter(path: String, examples: [String])
  /// Blocks of a U-Net that fit into no U-Net of diffusers.
  case topology(path: String, part: String, found: String, expected: String)
  case missing(path: String, tensor: String)
  case misshapen(path: String, tensor: String, found: Shape, expected: String)
  case collision(path: String, tensor: String, first: String, second: String)
  case noMovingAverage(path: String)
  /// Nothing is there but what `--ema` asks for.
  case averageAlone(path: String)
  case noVariants(path: String, variant: String)
  /// A configuration that an earlier Decant wrote, damaged since.
  case malformedConfig(path: String, found: String)
  /// What the sampler could not run.
  case unsupported(path: String, found: String)
  case unknownComponent(path: String, component: String)
  case unknownNumbering(String)

  package var description: String {
    switch self {
    case .notAModel(let path, let kind, let survey):
      "\(path): a \(kind) \(survey.likeness.map { "of \($0)" } ?? "without the tensors of a Stable Diffusion model"); "
        + "it holds \(survey.contents)"
    case .adapter(let path, let examples):
      "\(path): holds low-rank adapters (\(listed(examples))), which are merged into a model with "
        + "--lora; name the model itself"
    case .topology(let path, let part, let found, let expected):
      "\(path): \(part) has \(found), \(expected) is expected"
    case .missing(let path, let tensor):
      "\(path): tensor '\(shown(tensor))' is missing"
    case .misshapen(let path, let tensor, let found, let expected):
      "\(path): tensor '\(shown(tensor))' is \(found), expected \(expected)"
    case .collision(let path, let tensor, let first, let second):
      "\(path): tensors '\(shown(first))' and '\(shown(second))' are both '\(shown(tensor))', one "
        + "is expected"
    case .noMovingAverage(let path):
      "\(path): holds no moving average of the weights (model_ema.…), which --ema asks for; leave "
        + "--ema out"
    case .averageAlone(let path):
      "\(path): holds the moving average of a U-Net (model_ema.…) and no plain one; pass --ema to "
        + "read it"
    case .noVariants(let path, let variant):
      "\(path): a single file has no variants, '\(shown(variant))' was asked for"
    case .malformedConfig(let path, let found):
      "\(path): the metadata's 'decant.config' is \(found); convert the model again"
    case .unsupported(let path, let found):
      "\(path): \(found)"
    case .unknownComponent(let path, let component):
      "\(path): component '\(shown(component))' has no place in a single-file checkpoint"
    case .unknownNumbering(let name):
      "--numbering \(shown(name)): known are \(listed(BlockNumbering.allCases.map(\.rawValue)))"
    }
  }
}

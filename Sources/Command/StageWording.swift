internal import Support
internal import Workflow

extension Stage {
  /// The stage as a phrase: `reading model`.
  var phrase: String {
    switch self {
    case .reading(let paths): "reading " + paths.joined(separator: " and ")
    case .loading(let path): "loading \(path)"
    case .checking(let path): "checking \(path)"
    case .checkingTensors(let path): "checking the tensors of \(path)"
    case .generating(let model, let prompt, let count):
      "generating with \(model), \(prompt + 1) of \(count)"
    case .computing(let component): "computing \(component.rawValue)"
    case .calibrating(let images, let sizes):
      "calibrating with \(counted(images, "image")) of "
        + listed(sizes.map(\.description))
    case .estimating: "timing a call of unet"
    case .measuringSensitivities(let units, let calls):
      "measuring the sensitivities of \(counted(units, "unit")) of unet in "
        + counted(calls, "recorded call")
    case .measuringBlocks(let units, let calls):
      "measuring the scores of \(counted(units, "block")) of unet in "
        + counted(calls, "recorded call")
    case .choosingBlocks: "choosing blocks of unet to remove"
    case .writing(let path): "writing \(path)"
    case .measuringTypes: "measuring types for the layers of unet"
    case .measuringError(let calls):
      "measuring the error of the guided prediction with \(counted(calls, "recorded call"))"
    case .rounding(let calls):
      "rounding the layers of unet with \(counted(calls, "recorded call"))"
    case .checkingOutliers(let component): "looking for outliers in the weights of \(component)"
    case .recording(let path): "storing the results of the verification in \(path)"
    case .verifying(let candidate, let reference): "verifying \(candidate) against \(reference)"
    case .measuring(let model, let compute):
      "measuring \(model)" + (compute.map { ", \($0.name)" } ?? "")
    case .measuringKernels: "measuring kernels"
    case .measuringCoding: "measuring lossless coding"
    }
  }
}

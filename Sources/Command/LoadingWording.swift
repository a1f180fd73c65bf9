internal import Support
internal import Workflow

extension WrittenModel {
  /// Python code that loads the output; empty for other programs.
  var loadingText: String {
    switch loading {
    case .pipeline(let package):
      """
      to load it in Python:
        import torch
        import \(package)
        from diffusers import DiffusionPipeline
        pipeline = DiffusionPipeline.from_pretrained(
            \(path.pythonLiteral), torch_dtype=torch.float16)
      """
    case .unetOfGGUF(let subfolder):
      """
      to load its U-Net in Python\(configFolder == nil ? Self.folderNote : ""):
        import torch
        from diffusers import GGUFQuantizationConfig, UNet2DConditionModel
        unet = UNet2DConditionModel.from_single_file(
            \(path.pythonLiteral),
            config=\((configFolder ?? "FOLDER").pythonLiteral), subfolder=\(subfolder.pythonLiteral),
            torch_dtype=torch.float16,
            quantization_config=GGUFQuantizationConfig(compute_dtype=torch.float16))
      """
    case nil: ""
    }
  }

  private static let folderNote =
    " (FOLDER is a diffusers folder of this model, which `decant convert` writes)"
}

extension String {
  /// A string literal of Python. That of JSON has the same escapes.
  fileprivate var pythonLiteral: String { JSONValue.string(self).text() }
}

/// How Python code loads what a writer wrote, for programs that are Python packages.
package enum PythonLoading: Hashable, Sendable {
  /// The pipeline of a folder, by `from_pretrained`, after `import` of the package that reads the
  /// quantized weights.
  case pipeline(importing: String)
  /// The U-Net of a GGUF file, by `from_single_file` with a `GGUFQuantizationConfig` and the config
  /// in a folder below a diffusers folder.
  case unetOfGGUF(configIn: String)
}

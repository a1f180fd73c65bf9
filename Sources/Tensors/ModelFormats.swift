/// What a reader may choose from when a place holds more than one set of weights.
package struct ReadOptions: Sendable, Equatable {
  /// The variant of the weights, as in `diffusion_pytorch_model.fp16.safetensors`; `nil` is the
  /// plain one, or the only one there is.
  package var variant: String?

  package init(variant: String? = nil) { self.variant = variant }
}

/// One way in which models lie on disk, read. A layout is one file that conforms to this, and one
/// line in a list of readers.
package protocol ModelReader: Sendable {
  /// What messages call the layout: `diffusers folder`.
  var layout: String { get }

  /// Whether what stands at `path` looks like this layout, damaged or not. Names are no evidence.
  func recognizes(_ path: String) -> Bool

  /// The model. Weights are read when they are asked for.
  ///
  /// - Throws: an error whose description names the file, what was found, and what was expected.
  func read(_ path: String, options: ReadOptions) throws -> ModelSource
}

/// One way in which models lie on disk, written. A layout is one file that conforms to this, and
/// one line in a list of writers.
package protocol ModelWriter: Sendable {
  /// The layout's name on the command line: `diffusers`, `decant`.
  var name: String { get }
  /// What messages call the layout: `diffusers folder`.
  var layout: String { get }

  /// Whether integer codes with scales can be written; else only plain numbers.
  var holdsQuantized: Bool { get }

  /// Whether an output of this name is of this layout.
  func claims(_ path: String) -> Bool

  /// Writes the model whole or not at all.
  ///
  /// - Parameters:
  ///   - replacing: whether what stands at `path` may be replaced.
  ///   - progress: called with bytes of weights written so far, and in all.
  func write(
    _ model: ModelSource, to path: String, replacing: Bool,
    progress: (_ done: Int, _ total: Int) -> Void) throws
}

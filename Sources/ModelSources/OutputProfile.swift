package import Support
package import Tensors

/// What one program accepts in one layout: ComfyUI in a GGUF file, for example.
///
/// A new consumer is one file with a type that conforms to this protocol, and one line in a list of
/// profiles. Writers and readers of the layout ask the profile for everything that differs between
/// programs.
package protocol OutputProfile: Sendable {
  /// The name that a user chooses: `comfyui`.
  var name: String { get }
  /// The program's name in messages and tables: `ComfyUI`. Profiles of one program in two layouts
  /// have different titles.
  var title: String { get }
  /// The program's name beside that of its layout: `diffusers` for `diffusers (GGUF)`.
  var programTitle: String { get }
  /// The layout that it reads: a ``ModelWriter/name``.
  var container: String { get }
  /// How the program uses memory while it makes an image.
  var memory: ProgramMemory { get }
  /// What lowers the peak in the program, beside what ``memory`` describes; `nil` where nothing is
  /// known.
  var memorySwitches: MemorySwitches? { get }
  /// Whether the program can compute on a GPU.
  var usesGPU: Bool { get }
  /// How Python code loads the output, where that takes more than diffusers' `from_pretrained`;
  /// `nil` elsewhere, and for programs that are not Python packages.
  var loading: PythonLoading? { get }

  // MARK: - Before writing

  /// Why the program cannot load the model, as the object of "cannot load"; `nil` where it can.
  ///
  /// Only configs, names and shapes are read, no weights.
  func refusal(_ model: ModelSource) -> String?

  /// What the program does wrong with files of another layout, as a sentence without a full stop;
  /// `nil` where nothing is known of them.
  func fault(in container: String) -> String?

  /// The nearest encoding to `encoding` that the program reads, which may be `encoding` itself;
  /// `nil` where there is none.
  func accepted(_ encoding: TensorEncoding) -> TensorEncoding?

  /// Whether the program reads this tensor in the encoding of `entry`, which is an ``accepted(_:)``
  /// one. ``fitted(_:)`` stores the others as plain numbers. ``reads(_:of:in:)`` asks for both.
  func holds(_ entry: TensorEntry, of tensor: String, in component: String) -> Bool

  /// The encoding in which a plan quantizes a tensor that the program does not hold as `entry`;
  /// `nil` where the tensor is not quantized.
  func substitute(
    for entry: TensorEntry, of tensor: String, in component: String
  ) -> TensorEncoding?

  // MARK: - Writing

  /// The model as it is written: with the components, configs and tensors that the program expects.
  func prepared(_ model: ModelSource) -> ModelSource

  /// The tensors of a file that holds a whole model, under the program's names, with the marker
  /// tensors that the program looks for. Layouts with a folder for each component do not call it.
  ///
  /// - Parameter model: a ``fitted(_:)`` model.
  func tensors(of model: ModelSource, options: WriteOptions) throws -> [any WeightSource]

  /// The shape and encoding of a tensor in the file.
  func stored(_ entry: TensorEntry) -> TensorEntry

  /// Metadata to add to that of the layout.
  ///
  /// - Parameter tensors: what ``tensors(of:options:)`` returned.
  func metadata(of model: ModelSource, tensors: [any WeightSource]) -> JSONObject

  /// What the user should know of the file that was written.
  func notes(_ model: ModelSource) -> [String]

  // MARK: - Reading

  /// The extents of a tensor before ``stored(_:)`` changed its shape; `nil` where it did not.
  func originalExtents(of tensor: String, metadata: JSONObject) -> JSONValue?
}

extension OutputProfile {
  package var programTitle: String { title }
  package var memory: ProgramMemory { .float16Pipeline }
  package var memorySwitches: MemorySwitches? { nil }
  package var usesGPU: Bool { true }
  package var loading: PythonLoading? { nil }

  package func refusal(_ model: ModelSource) -> String? { nil }

  package func fault(in container: String) -> String? { nil }

  /// Plain numbers alone.
  package func accepted(_ encoding: TensorEncoding) -> TensorEncoding? {
    encoding.isQuantized ? nil : encoding
  }

  package func holds(_ entry: TensorEntry, of tensor: String, in component: String) -> Bool {
    accepts(entry.encoding)
  }

  package func substitute(
    for entry: TensorEntry, of tensor: String, in component: String
  ) -> TensorEncoding? { nil }

  package func prepared(_ model: ModelSource) -> ModelSource { model }

  package func tensors(
    of model: ModelSource, options: WriteOptions
  ) throws -> [any WeightSource] { model.components.map(\.weights) }

  package func stored(_ entry: TensorEntry) -> TensorEntry { entry }

  package func metadata(of model: ModelSource, tensors: [any WeightSource]) -> JSONObject { [:] }

  package func notes(_ model: ModelSource) -> [String] { [] }

  package func originalExtents(of tensor: String, metadata: JSONObject) -> JSONValue? { nil }
}

/// Why a model cannot be written for a program.
package enum OutputProfileError: RemediableError, Equatable {
  case unknown(program: String, layout: String, known: [String])
  case notLoadable(path: String, program: String, found: String, others: [String])

  package var description: String {
    switch self {
    case .unknown(let program, let layout, let known):
      "unknown program '\(shown(program))'\(didYouMean(similarNames(to: program, among: known)))"
        + " for a \(layout); expected \(alternatives(known))"
    case .notLoadable(let path, let program, let found, _):
      "\(path): \(program) cannot load \(found)"
    }
  }

  package var remedy: Remedy? {
    switch self {
    case .unknown: nil
    case .notLoadable(_, _, _, let others): others.isEmpty ? nil : .choose(.program, others)
    }
  }
}

package import Support

/// What to read where a file or folder holds more than one set of weights.
package struct ReadOptions: Sendable, Equatable {
  /// The variant of the weights, as in `diffusion_pytorch_model.fp16.safetensors`. `nil` reads the
  /// plain weights, or the only variant where there is just one.
  package var variant: String?
  /// Whether to read the exponential moving average of the weights instead of the weights of the
  /// last training step, where a file holds both.
  package var ema: Bool
  /// Components that other models replace. Where they cannot be read, a folder is read without
  /// them.
  package var replaced: Set<String>

  package init(variant: String? = nil, ema: Bool = false, replaced: Set<String> = []) {
    self.variant = variant
    self.ema = ema
    self.replaced = replaced
  }
}

/// A requested variant of the weights that a model does not have. Every reader throws it.
package struct VariantError: RemediableError, Equatable {
  /// The file, or the folder of the model or of the component.
  package let path: String
  /// The component that lacks the variant; `nil` where no component has it.
  package let component: String?
  package let variant: String
  /// The variants that there are, sorted, without the plain weights.
  package let known: [String]

  package init(
    path: String, component: String? = nil, variant: String, known: some Sequence<String> = []
  ) {
    self.path = path
    self.component = component
    self.variant = variant
    self.known = Set(known).sorted()
  }

  package var description: String {
    let place = component.map { " of component '\($0)'" } ?? ""
    let found = known.isEmpty ? "there are no variants" : "expected \(alternatives(known))"
    return "\(path): no variant '\(shown(variant))'\(place); \(found)"
  }

  package var remedy: Remedy? {
    known.isEmpty ? .leaveOut(.variant) : .choose(.variant, known)
  }
}

/// Reads models of one layout, such as diffusers folders. A new layout is one file with a type that
/// conforms to this protocol, and one line in a list of readers.
package protocol ModelReader: Sendable {
  /// The layout's name in messages: `diffusers folder`.
  var layout: String { get }

  /// Whether the file or folder at `path` looks like this layout, damaged or not. The contents
  /// decide, not the name.
  func recognizes(_ path: String) -> Bool

  /// Opens the model. Weights are read later, tensor by tensor.
  ///
  /// - Throws: ``VariantError`` for a variant that the model does not have, or an error whose
  ///   description names the file, what was found, and what was expected.
  func read(_ path: String, options: ReadOptions) throws -> ModelSource

  /// The kinds of files and folders that the layout has, for messages: `diffusers folder`.
  var kinds: [String] { get }

  /// Whether ``check(_:progress:)`` and reading every tensor of the file or folder at `path`
  /// compare checksums.
  func checksums(of path: String) -> Checksums

  /// Verifies checksums that reading every tensor does not cover. Layouts without checksums do
  /// nothing.
  ///
  /// - Parameter progress: called with the bytes checked so far and in total.
  func check(_ path: String, progress: (_ done: Int, _ total: Int) -> Void) throws
}

/// Whether reading a model compares checksums.
package enum Checksums: String, Sendable {
  case compared
  /// The format has checksums that are not compared.
  case ignored
  /// The format has none.
  case absent
}

extension ModelReader {
  package var kinds: [String] { [layout] }

  package func checksums(of path: String) -> Checksums { .absent }

  package func check(_ path: String, progress: (_ done: Int, _ total: Int) -> Void) throws {}
}

import ModelSources

/// The names that the adapter files of one program use for a model's modules. A new naming is one
/// file with a type that conforms to this protocol, and one line in ``AdapterNamings/all``.
protocol AdapterNaming: Sendable {
  /// The names that a module may have in a file, without the wrappers that
  /// `NameWrappers.unwrapped(adapterModule:)` removes.
  ///
  /// - Parameters:
  ///   - module: diffusers' name; that of a text encoder also without `text_model`.
  ///   - component: `unet`, `text_encoder`, `text_encoder_2`.
  ///   - isAlone: whether the model has no other text encoder.
  ///   - ldmName: the module's name in the LDM layout; `nil` outside the U-Net.
  func keys(_ module: String, component: String, isAlone: Bool, ldmName: String?) -> [String]

  /// The beginnings of names that show their component, without a model. Dots and underscores are
  /// the same.
  ///
  /// - Parameter component: `unet`, `text_encoder`, `text_encoder_2`.
  func beginnings(of component: String) -> [String]
}

/// The namings of adapter files.
enum AdapterNamings {
  static let all: [any AdapterNaming] = [
    KohyaNaming(),
    PEFTNaming(),
    ProcessorNaming(),
    OneTrainerNaming(),
    ComfyUINaming(),
    SimpleTunerNaming(),
  ]

  /// The beginnings of all namings with dots as underscores, and their components, the longest
  /// first: `text_encoder_2_` before `text_encoder_`.
  private static let beginnings: [(text: String, component: String)] =
    ([ComponentName.unet] + ComponentName.textEncoders).flatMap { component in
      all.flatMap { $0.beginnings(of: component) }.map { (flattened($0), component) }
    }.sorted { $0.text.count > $1.text.count }

  /// The component that the name of a module in a file shows; `nil` where it shows none.
  ///
  /// - Parameter name: the name without wrappers.
  static func component(of name: String) -> String? {
    let name = flattened(name)
    return beginnings.first { name.hasPrefix($0.text) }?.component
  }
}

/// A module's name with underscores instead of dots.
func flattened(_ name: String) -> String { String(name.map { $0 == "." ? "_" : $0 }) }

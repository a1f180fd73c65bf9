import Models

/// The names that the adapter files of one program use for a model's modules. A new naming is one
/// file with a type that conforms to this protocol, and one line in ``AdapterNamings/all``.
protocol AdapterNaming: Sendable {
  /// The names that a module may have in a file, without what ``AdapterKeys/unwrapped(_:)`` removes.
  ///
  /// - Parameters:
  ///   - module: diffusers' name; that of a text encoder also without `text_model`.
  ///   - component: `unet`, `text_encoder`, `text_encoder_2`.
  ///   - isAlone: whether the model has no other text encoder.
  ///   - ldmName: the module's name in the LDM layout; `nil` outside the U-Net.
  func keys(_ module: String, component: String, isAlone: Bool, ldmName: String?) -> [String]
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
}

/// A module's name with underscores instead of dots.
func flattened(_ name: String) -> String { String(name.map { $0 == "." ? "_" : $0 }) }

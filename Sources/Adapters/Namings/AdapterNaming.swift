import Models

/// One way in which files of adapters name a model's modules. A naming is one file that conforms to
/// this, and one line in ``AdapterNamings/all``.
protocol AdapterNaming: Sendable {
  /// The names that a module may have.
  ///
  /// - Parameters:
  ///   - component: `unet`, `text_encoder`, `text_encoder_2`.
  ///   - isAlone: whether the model has no other text encoder.
  ///   - ldmName: the module's name in the LDM layout, of a U-Net.
  func keys(_ module: String, component: String, isAlone: Bool, ldmName: String?) -> [String]
}

/// The namings, a line each.
enum AdapterNamings {
  static let all: [any AdapterNaming] = [
    KohyaNaming(),
    PEFTNaming(),
    ProcessorNaming(),
  ]
}

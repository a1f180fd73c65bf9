package import ModelSources

/// The output profiles of the layouts that this module writes. The first of each layout is its
/// default.
package enum OutputProfiles {
  package static let all: [any OutputProfile] = [
    DiffusersProfile(),
    SDNQProfile(),
    CheckpointProfile(),
    ComfyUIProfile(),
    StableDiffusionCppProfile(),
    ComfyUIGGUFProfile(),
    DiffusersGGUFProfile(),
    ComponentProfile(),
    ComfyUIComponentProfile(),
  ]

  /// The profiles of one layout.
  static func of(_ container: String) -> [any OutputProfile] {
    all.filter { $0.container == container }
  }
}

package import ModelSources
import Support

/// The output profiles of the layouts that this module writes. The first of each layout is its
/// default.
package enum OutputProfiles {
  package static let all: [any OutputProfile] = [
    DiffusersProfile(),
    SDNQProfile(),
    CheckpointProfile(),
    ComfyUINativeProfile(),
    StableDiffusionCppProfile(),
    ComfyUIProfile(),
    DiffusersGGUFProfile(),
  ]

  /// The profiles of one layout.
  static func of(_ container: String) -> [any OutputProfile] {
    all.filter { $0.container == container }
  }

  /// Metadata and weights without the form of any profile of the layout.
  static func restored(
    _ metadata: JSONObject, _ weights: any WeightSource, in container: String, path: String
  ) throws -> (metadata: JSONObject, weights: any WeightSource) {
    for profile in of(container) {
      if let restored = try profile.restored(metadata, weights, path: path) { return restored }
    }
    return (metadata, weights)
  }
}

package import Models

extension GuidedErrors {
  /// Sensitivities that are assumed where none were measured, by the role and the level of layers.
  ///
  /// The sensitivity of a role is the geometric mean over the layers of the highest resolution of the
  /// miniature of Stable Diffusion 1 in `Fixtures`, each rounded alone, for six recorded calls. The
  /// layers of its lower resolutions hardly influence its images of 64x64 pixels, so that their ratio
  /// says nothing of other models: a quarter for each halving of the resolution is assumed.
  package init(assuming modules: [ModuleSpec]) {
    let levels = modules.compactMap { $0.blockIndex(in: "down_blocks") }.max() ?? 0
    var sensitivities: [String: Double] = [:]
    for module in modules where module.kind.isMatrix && module.role.exclusion == nil {
      var sensitivity = Self.roles.first { module.name.hasSuffix($0.name) }?.sensitivity ?? 50
      for _ in 0..<module.level(of: levels) { sensitivity /= 4 }
      sensitivities[module.name] = sensitivity
    }
    self.init(sensitivities: sensitivities, calls: [:])
  }

  /// By the last parts of a layer's name.
  private static let roles: [(name: String, sensitivity: Double)] = [
    ("conv_shortcut", 580), ("proj_in", 320), ("proj_out", 160), ("downsamplers.0.conv", 110),
    ("upsamplers.0.conv", 110), ("ff.net.0.proj", 74), ("conv2", 70), ("to_out.0", 52),
    ("to_v", 44), ("conv1", 24), ("ff.net.2", 20), ("to_q", 3), ("time_emb_proj", 2.5),
    ("to_k", 2),
  ]
}

extension ModuleSpec {
  /// How often the resolution of the layer's block is halved, in a U-Net with blocks down to `lowest`.
  fileprivate func level(of lowest: Int) -> Int {
    if let index = blockIndex(in: "down_blocks") { return index }
    if let index = blockIndex(in: "up_blocks") { return max(0, lowest - index) }
    return lowest
  }

  /// 2 for `down_blocks.2.resnets.0` in `down_blocks`; `nil` for other layers.
  fileprivate func blockIndex(in blocks: String) -> Int? {
    let parts = name.split(separator: ".")
    return parts.count > 1 && parts[0] == blocks ? Int(parts[1]) : nil
  }
}

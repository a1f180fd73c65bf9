package import Support

/// Names of a U-Net's modules in the LDM layout, which adapters of SDXL are named after.
package enum LDMModules {
  /// The names of `modules` by diffusers' names, for the U-Net of that config.
  package static func names(of config: JSONObject, modules: [String]) -> [String: String] {
    let pairs = UNetTopology(config: config).pairs(.dense)
    return Dictionary(
      modules.compactMap { name in pairs.other(name).map { (name, $0) } }
    ) { first, _ in first }
  }
}

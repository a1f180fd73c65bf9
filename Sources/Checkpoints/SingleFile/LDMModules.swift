private import ModelSources
package import Support

/// Names of a U-Net's modules in the LDM layout, which some SDXL adapters use.
package enum LDMModules {
  /// The LDM names of `modules`, by diffusers' names.
  package static func names(of config: JSONObject, modules: [String]) -> [String: String] {
    let pairs = UNetTopology(config: config).pairs(.dense)
    return Dictionary(
      modules.compactMap { name in pairs.other(name).map { (name, $0) } }
    ) { first, _ in first }
  }
}

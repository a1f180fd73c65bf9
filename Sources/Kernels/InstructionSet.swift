private import CKernels

/// The instruction sets for which kernels have forms, with the names that the environment variable
/// `DECANT_SIMD` accepts.
package enum InstructionSet {
  /// All names, from the portable form up.
  package static let names: [String] = {
    var names: [String] = []
    while let name = decant_simd_name(Int32(names.count)) { names.append(String(cString: name)) }
    return names
  }()

  /// The names of those that this machine supports.
  package static let available = Array(names.prefix(Int(decant_machine_simd_level()) + 1))
}

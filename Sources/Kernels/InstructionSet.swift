private import CKernels

/// The instruction sets that kernels have forms for, by the names that DECANT_SIMD takes.
package enum InstructionSet {
  /// From the portable one up.
  package static let names: [String] = {
    var names: [String] = []
    while let name = decant_simd_name(Int32(names.count)) { names.append(String(cString: name)) }
    return names
  }()

  /// Those that this machine has: all up to its best.
  package static let available = Array(names.prefix(Int(decant_machine_simd_level()) + 1))
}
